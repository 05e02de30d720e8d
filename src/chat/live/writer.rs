//! Stores messages in batches, acknowledges them after the commit, and delivers them in `seq` order.
//!
//! A chat always belongs to the same writer task, which writes one batch at a time: so messages of one chat
//! are numbered in the order in which they arrived, and delivered in the order of their numbers. There is no
//! artificial delay: a batch is whatever has arrived while the one before it was being committed.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socketioxide::socket::Sid;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::delivery::CommittedMessage;
use super::insert_messages::{NewMessage, Present, SendOutcome, StoredMessage, insert_messages};
use super::rooms::Rooms;
use super::session::Sending;
use crate::chat::MessageView;
use crate::chat::events::{MessageAck, NewMessageEvent};
use crate::files::FileUrls;
use crate::notifications::{self, Created, NotificationView, deliver};
use crate::realtime::{Bulkhead, Connections, EncodedEvent, Refusal};
use crate::supervision::{Task, Tasks};
use crate::types::{ChatId, UserId};
use doors::{Direct, is_connection_loss};

/// The number of writers: each uses at most one direct connection at a time.
pub const WRITERS: usize = 2;

/// How many messages, and bytes of text, may wait for a writer; more are refused as `overloaded`.
const MAX_QUEUED_MESSAGES: usize = 8192;
const MAX_QUEUED_BYTES: usize = 16 * 1024 * 1024;

/// The largest batch, in messages and bytes of text: larger ones only hurt the slowest acknowledgement.
const MAX_BATCH_MESSAGES: usize = 256;
const MAX_BATCH_BYTES: usize = 1024 * 1024;

/// How long a message may wait before it is refused as `unavailable`.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// How many batches of notifications may wait to be emitted; clients find the others when they next look.
const MAX_UNSENT_BATCHES: usize = 64;

/// Called once, when a message is committed or refused. If it is dropped instead, it answers by itself.
pub type Acknowledge = Box<dyn FnOnce(Result<MessageAck, Refusal>) + Send + Sync>;

/// A message on its way to the database.
pub struct Outgoing {
    pub message: NewMessage,
    /// The socket that sends it: the message is not emitted to it.
    pub sender: Option<Sid>,
    pub acknowledge: Acknowledge,
    /// Dropped when it is delivered, or refused.
    pub sending: Option<Sending>,
    pub received_at: Instant,
}

/// The message writers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Writer {
    queues: Arc<[Queue]>,
}

#[derive(Debug)]
struct Queue {
    messages: mpsc::Sender<Outgoing>,
    bytes: Arc<AtomicUsize>,
    task: Arc<Task>,
}

/// The parts of a writer task.
struct WriterTask {
    messages: Mutex<mpsc::Receiver<Outgoing>>,
    bytes: Arc<AtomicUsize>,
    direct: Direct,
    rooms: Rooms,
    connections: Connections,
    /// Notified when it is unknown what was committed.
    outcome_unknown: Arc<Notify>,
    unsent: mpsc::Sender<Vec<NotificationView>>,
}

impl Writer {
    /// Starts the writer tasks. `outcome_unknown` is notified when a batch may have been committed without being
    /// delivered. When the tasks finish, no message is taken any more, and those that were taken are answered.
    #[must_use]
    pub fn start(
        tasks: &Tasks,
        direct: &Direct,
        bulkhead: &Bulkhead,
        rooms: &Rooms,
        connections: &Connections,
        outcome_unknown: &Arc<Notify>,
    ) -> Self {
        let queues = (1..=WRITERS).map(|number| {
            let (messages, received) = mpsc::channel(MAX_QUEUED_MESSAGES);
            let (unsent, created) = mpsc::channel(MAX_UNSENT_BATCHES);
            let bytes = Arc::<AtomicUsize>::default();
            let writer = Arc::new(WriterTask {
                messages: Mutex::new(received),
                bytes: bytes.clone(),
                direct: direct.clone(),
                rooms: rooms.clone(),
                connections: connections.clone(),
                outcome_unknown: outcome_unknown.clone(),
                unsent,
            });
            let closing = tasks.stopping().clone();
            let task =
                tasks.start(format!("message writer {number}"), move |task| writer.clone().run(closing.clone(), task));
            let (bulkhead, connections, created) =
                (bulkhead.clone(), connections.clone(), Arc::new(Mutex::new(created)));
            tasks.start(format!("notifications {number}"), move |task| {
                emit_notifications(bulkhead.clone(), connections.clone(), created.clone(), task)
            });
            Queue { messages, bytes, task }
        });
        Self { queues: queues.collect() }
    }

    /// Queues a message for its chat's writer, or refuses it at once.
    pub fn send(&self, outgoing: Outgoing) {
        let mut hasher = DefaultHasher::new();
        outgoing.message.chat_id.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % WRITERS as u64).unwrap_or_default();
        let Queue { messages, bytes, task } = &self.queues[index];
        let size = outgoing.message.message.len();
        let queued = bytes.fetch_add(size, Ordering::Relaxed);
        let sent = match outgoing {
            outgoing if task.is_down() => Err(TrySendError::Closed(outgoing)),
            outgoing if queued > MAX_QUEUED_BYTES => Err(TrySendError::Full(outgoing)),
            outgoing => messages.try_send(outgoing),
        };
        let (outgoing, refusal) = match sent {
            Ok(()) => return,
            Err(TrySendError::Full(outgoing)) => (outgoing, Refusal::Overloaded),
            Err(TrySendError::Closed(outgoing)) => (outgoing, Refusal::Unavailable),
        };
        bytes.fetch_sub(size, Ordering::Relaxed);
        (outgoing.acknowledge)(Err(refusal));
    }
}

impl WriterTask {
    async fn run(self: Arc<Self>, closing: CancellationToken, task: Arc<Task>) -> anyhow::Result<()> {
        let mut messages = self.messages.lock().await;
        // A run before this one may have panicked after a commit.
        self.outcome_unknown.notify_one();
        task.works();
        let mut received = Vec::with_capacity(MAX_BATCH_MESSAGES);
        loop {
            tokio::select! {
                biased;
                () = closing.cancelled(), if !messages.is_closed() => messages.close(),
                count = messages.recv_many(&mut received, MAX_BATCH_MESSAGES) => {
                    if count == 0 {
                        return Ok(());
                    }
                    let bytes = received.iter().map(|outgoing| outgoing.message.message.len()).sum();
                    self.bytes.fetch_sub(bytes, Ordering::Relaxed);
                    for batch in batches(std::mem::take(&mut received)) {
                        self.write(batch).await;
                    }
                }
            }
        }
    }

    /// Stores a batch and answers every message in it.
    async fn write(&self, batch: Vec<Outgoing>) {
        match self.store(&batch).await {
            Ok(outcomes) => self.announce(batch, outcomes),
            Err(error) if batch.len() > 1 && error.as_database_error().is_some() => {
                // Nothing of it was stored: one bad row must harm only itself.
                tracing::warn!(%error, messages = batch.len(), "a batch was refused: storing its messages one by one");
                for outgoing in batch {
                    match self.store(std::slice::from_ref(&outgoing)).await {
                        Ok(outcomes) => self.announce(vec![outgoing], outcomes),
                        Err(error) => self.refuse([outgoing], &error),
                    }
                }
            }
            Err(error) => self.refuse(batch, &error),
        }
    }

    /// The outcome is unknown, or nothing was stored: either way the client sends it again, under the same
    /// clientMessageId, and it is there once.
    fn refuse(&self, batch: impl IntoIterator<Item = Outgoing>, error: &sqlx::Error) {
        tracing::error!(%error, "messages may not have been stored");
        batch.into_iter().for_each(|outgoing| (outgoing.acknowledge)(Err(Refusal::Unavailable)));
        self.outcome_unknown.notify_one();
    }

    /// Stores a batch before the oldest message's time is up. A failed attempt is repeated once: the connection may
    /// have been lost, and a batch that was committed after all is recognised by its ids; or another process may have
    /// stored the same clientMessageId in between.
    async fn store(&self, batch: &[Outgoing]) -> sqlx::Result<Vec<SendOutcome>> {
        let Some(oldest) = batch.iter().map(|outgoing| outgoing.received_at).min() else { return Ok(Vec::new()) };
        let deadline = oldest + STORE_TIMEOUT;
        if deadline <= Instant::now() {
            return Err(sqlx::Error::PoolTimedOut);
        }
        let messages: Vec<_> = batch.iter().map(|outgoing| &outgoing.message).collect();
        let present = self.present(&messages);
        let attempts = async {
            match insert_messages(&self.direct, &messages, &present).await {
                Err(error) if error.as_database_error().is_some() || is_connection_loss(&error) => {
                    tracing::debug!(%error, "storing a batch again");
                    insert_messages(&self.direct, &messages, &present).await
                }
                stored => stored,
            }
        };
        tokio::time::timeout_at(deadline, attempts).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// The users in the chats of a batch right now: they need no notification.
    fn present(&self, messages: &[&NewMessage]) -> Vec<Present> {
        let chats: HashSet<_> = messages.iter().map(|message| message.chat_id).collect();
        let of_chat =
            |chat_id: ChatId| self.rooms.users_in(chat_id).into_iter().map(move |user_id| Present { chat_id, user_id });
        chats.into_iter().flat_map(of_chat).collect()
    }

    /// After the commit: acknowledgements first, then the messages in `seq` order, then the notifications.
    fn announce(&self, batch: Vec<Outgoing>, outcomes: Vec<SendOutcome>) {
        let mut created = Vec::new();
        let mut committed = BTreeMap::<ChatId, (Vec<UserId>, Vec<CommittedMessage>)>::new();
        let mut repeated = Vec::new();
        let mut sent = Vec::new();
        for (Outgoing { message, sender, acknowledge, sending, .. }, outcome) in batch.into_iter().zip(outcomes) {
            let mut stored = match outcome {
                SendOutcome::Forbidden => {
                    acknowledge(Err(Refusal::Forbidden));
                    continue;
                }
                SendOutcome::ChatClosed => {
                    acknowledge(Err(Refusal::ChatClosed));
                    continue;
                }
                SendOutcome::Conflict => {
                    let rule = "another message was sent under this clientMessageId: give each message its own";
                    acknowledge(Err(Refusal::Conflict("conflict", rule.into())));
                    continue;
                }
                SendOutcome::Stored(stored) => stored,
            };
            acknowledge(Ok(MessageAck { id: stored.id, seq: stored.seq, created_at: stored.created_at }));
            sent.push(sending);
            created.append(&mut stored.notifications);
            let chat_id = message.chat_id;
            if stored.is_new {
                let (members, messages) = committed.entry(chat_id).or_default();
                *members = std::mem::take(&mut stored.members);
                messages.push(CommittedMessage::new(message, stored, sender, &self.rooms.0.file_urls));
            } else {
                repeated.push((chat_id, stored.seq));
            }
        }
        for (chat_id, (members, mut messages)) in committed {
            messages.sort_by_key(|message| message.seq);
            self.rooms.deliver(chat_id, &members, &messages);
        }
        drop(sent);
        // Its first send may have been committed without being delivered.
        for (chat_id, seq) in repeated {
            self.rooms.catch_up(chat_id, seq);
        }
        created.retain(|created| self.connections.is_connected(created.recipient_id));
        if !created.is_empty() && self.unsent.try_send(created).is_err() {
            tracing::warn!("too many notifications at once: some were not emitted");
        }
    }
}

impl CommittedMessage {
    fn new(message: NewMessage, stored: StoredMessage, sender: Option<Sid>, file_urls: &FileUrls) -> Self {
        let (id, seq) = (stored.id, stored.seq);
        let view = MessageView {
            id,
            seq,
            sender_type: stored.side,
            sender_id: message.sender_id,
            sender_name: stored.sender_name,
            message: message.message,
            message_type: message.message_type,
            created_at: stored.created_at,
        };
        let view = view.with_urls(message.chat_id, file_urls);
        let event = EncodedEvent::new(&NewMessageEvent { chat_id: message.chat_id, message: view });
        Self { sender, id, seq, event }
    }
}

/// Splits what was received into batches of at most [`MAX_BATCH_BYTES`].
fn batches(received: Vec<Outgoing>) -> Vec<Vec<Outgoing>> {
    let mut batches = vec![Vec::with_capacity(received.len())];
    let mut bytes = 0;
    for outgoing in received {
        let size = outgoing.message.message.len();
        if bytes + size > MAX_BATCH_BYTES && bytes > 0 {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(batch) = batches.last_mut() {
            batch.push(outgoing);
        }
    }
    batches
}

/// Emits notifications to the recipients who are connected; the others find them when they come back. A task of its
/// own, so that writing need not wait for it; it ends once the writer is gone and everything is emitted.
async fn emit_notifications(
    bulkhead: Bulkhead,
    connections: Connections,
    unsent: Arc<Mutex<mpsc::Receiver<Vec<NotificationView>>>>,
    task: Arc<Task>,
) -> anyhow::Result<()> {
    let mut unsent = unsent.lock().await;
    task.works();
    while let Some(mut created) = unsent.recv().await {
        while let Ok(more) = unsent.try_recv() {
            created.extend(more);
        }
        let recipients: HashSet<_> = created.iter().map(|created| created.recipient_id).collect();
        let mut unread =
            match bulkhead.run(async |direct| notifications::queries::count_unread(direct, &recipients).await).await {
                Ok(unread) => unread,
                Err(error) => {
                    tracing::error!(%error, "notifications were not emitted: the unread ones could not be counted");
                    continue;
                }
            };
        // The count includes the last notification: before each there was one less.
        let mut counted: Vec<_> = created
            .into_iter()
            .rev()
            .filter_map(|notification| {
                let unread = unread.get_mut(&notification.recipient_id)?;
                let total_unread_count = *unread;
                *unread = (*unread - 1).max(1);
                Some(Created { notification, total_unread_count })
            })
            .collect();
        counted.reverse();
        for created in counted {
            deliver(&connections, created);
        }
    }
    Ok(())
}
