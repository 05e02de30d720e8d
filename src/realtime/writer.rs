//! Stores messages in batches, acknowledges them after the commit, and emits them in `seq` order.
//!
//! A chat always belongs to the same writer task, which writes one batch at a time: so messages of one chat
//! are numbered in the order in which they arrived, and emitted in the order of their numbers. There is no
//! artificial delay: a batch is whatever has arrived while the one before it was being committed.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde::Serialize;
use socketioxide::extract::SocketRef;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::reply::{Refusal, Reply};
use super::{deliver, rooms};
use crate::chat::{self, ChatId, MessageId, MessageView, NewMessage, Outcome, Present, Stored};
use crate::db::{Direct, is_connection_loss};
use crate::notifications::{self, Created, NotificationView};
use crate::web::time::Timestamp;

/// How many writers there are: each uses at most one direct connection at a time.
pub(super) const WRITERS: usize = 2;

/// How many messages may wait for a writer; more are refused as `overloaded`.
const QUEUE_MESSAGES: usize = 1024;

/// The largest batch: larger ones only hurt the slowest acknowledgement.
const MAX_BATCH_MESSAGES: usize = 256;

/// How long a message may wait to be settled before its sender is told `unavailable`.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// The event that a client sends.
pub const SEND_MESSAGE: &str = "send_message";

/// A message on its way to the database.
pub struct Outgoing {
    /// What to store.
    pub message: NewMessage,
    /// Where the acknowledgement goes.
    pub reply: Reply,
    /// When it arrived.
    pub received_at: Instant,
}

/// Takes messages. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Writer {
    queues: Arc<[mpsc::Sender<Outgoing>]>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
    closing: CancellationToken,
}

/// The acknowledgement of a message.
#[derive(Serialize)]
struct Ack {
    id: MessageId,
    seq: i64,
    created_at: Timestamp,
}

/// The payload of `new_message`.
#[derive(Serialize)]
struct NewMessageEvent {
    #[serde(rename = "chatId")]
    chat_id: ChatId,
    #[serde(flatten)]
    message: MessageView,
}

impl Writer {
    /// Starts the writer tasks.
    #[must_use]
    pub fn start(direct: &Direct) -> Self {
        let closing = CancellationToken::new();
        let (queues, tasks): (Vec<_>, Vec<_>) = (0..WRITERS)
            .map(|_| {
                let (queue, messages) = mpsc::channel(QUEUE_MESSAGES);
                (queue, tokio::spawn(write(direct.clone(), messages, closing.clone())))
            })
            .unzip();
        Self { queues: queues.into(), tasks: Arc::new(Mutex::new(tasks)), closing }
    }

    /// Queues a message for its chat's writer, or refuses it at once.
    pub fn send(&self, outgoing: Outgoing) {
        let mut hasher = DefaultHasher::new();
        outgoing.message.chat_id.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % WRITERS as u64).unwrap_or_default();
        match self.queues[index].try_send(outgoing) {
            Ok(()) => {}
            Err(TrySendError::Full(outgoing)) => outgoing.reply.refuse(SEND_MESSAGE, &Refusal::Overloaded),
            Err(TrySendError::Closed(outgoing)) => outgoing.reply.refuse(SEND_MESSAGE, &Refusal::Unavailable),
        }
    }

    /// Takes no more messages, and settles those that were taken.
    pub async fn drain(&self) {
        self.closing.cancel();
        for task in self.tasks.lock().await.drain(..) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a message writer failed");
            }
        }
    }
}

async fn write(direct: Direct, mut messages: mpsc::Receiver<Outgoing>, closing: CancellationToken) {
    let mut batch = Vec::with_capacity(MAX_BATCH_MESSAGES);
    loop {
        tokio::select! {
            biased;
            () = closing.cancelled(), if !messages.is_closed() => messages.close(),
            received = messages.recv_many(&mut batch, MAX_BATCH_MESSAGES) => {
                if received == 0 {
                    return;
                }
                // A panic costs its batch the answers, not the chats of this writer their future.
                let settled = AssertUnwindSafe(settle(&direct, std::mem::take(&mut batch))).catch_unwind().await;
                if settled.is_err() {
                    tracing::error!("a message writer panicked: its batch was not answered");
                }
            }
        }
    }
}

/// Stores a batch and answers every message in it.
async fn settle(direct: &Direct, batch: Vec<Outgoing>) {
    match store(direct, &batch).await {
        Ok(outcomes) => announce(direct, batch, outcomes).await,
        Err(error) if batch.len() > 1 && error.as_database_error().is_some() => {
            // Nothing of it was stored: one bad row must harm only itself.
            tracing::warn!(%error, messages = batch.len(), "a batch was refused: storing its messages one by one");
            for outgoing in batch {
                match store(direct, std::slice::from_ref(&outgoing)).await {
                    Ok(outcomes) => announce(direct, vec![outgoing], outcomes).await,
                    Err(error) => refuse(outgoing, &error),
                }
            }
        }
        Err(error) => batch.into_iter().for_each(|outgoing| refuse(outgoing, &error)),
    }
}

/// The outcome is unknown, or nothing was stored: either way the client sends it again, under the same
/// clientMessageId, and it is there once.
fn refuse(outgoing: Outgoing, error: &sqlx::Error) {
    tracing::error!(%error, "a message was not stored for certain");
    outgoing.reply.refuse(SEND_MESSAGE, &Refusal::Unavailable);
}

/// Stores a batch, again if the first attempt fails: the connection may have been lost, in which case it is
/// recognised by its ids if it was committed after all, or another process may have stored the same
/// clientMessageId in between. All before the oldest message's time is up.
async fn store(direct: &Direct, batch: &[Outgoing]) -> sqlx::Result<Vec<Outcome>> {
    let Some(oldest) = batch.iter().map(|outgoing| outgoing.received_at).min() else { return Ok(Vec::new()) };
    let messages: Vec<_> = batch.iter().map(|outgoing| &outgoing.message).collect();
    let present = present(batch);
    let attempts = async {
        match chat::insert_messages(direct, &messages, &present).await {
            Err(error) if error.as_database_error().is_some() || is_connection_loss(&error) => {
                tracing::debug!(%error, "storing a batch again");
                chat::insert_messages(direct, &messages, &present).await
            }
            stored => stored,
        }
    };
    tokio::time::timeout_at(oldest + SETTLE_TIMEOUT, attempts).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Who is looking at the chats of a batch right now: they need no notification.
fn present(batch: &[Outgoing]) -> Vec<Present> {
    let mut chats = HashSet::new();
    let fresh = batch.iter().filter(|outgoing| chats.insert(outgoing.message.chat_id));
    fresh
        .flat_map(|outgoing| {
            let chat_id = outgoing.message.chat_id;
            let room = outgoing.reply.socket().within(rooms::chat(chat_id));
            rooms::users_in(room).into_iter().map(move |user_id| Present { chat_id, user_id })
        })
        .collect()
}

/// After the commit: acknowledgements first, then the messages in `seq` order, then the notifications.
async fn announce(direct: &Direct, batch: Vec<Outgoing>, outcomes: Vec<Outcome>) {
    let mut told = Vec::new();
    let mut new = Vec::new();
    let mut any_socket = None;
    for (Outgoing { message, reply, .. }, outcome) in batch.into_iter().zip(outcomes) {
        match outcome {
            Outcome::Forbidden => reply.refuse(SEND_MESSAGE, &Refusal::Forbidden),
            Outcome::ChatClosed => reply.refuse(SEND_MESSAGE, &Refusal::ChatClosed),
            Outcome::Stored(stored) => {
                let Stored { id, seq, created_at, is_new, sender_name, side, notifications } = stored;
                let socket = reply.socket().clone();
                reply.ok(&Ack { id, seq, created_at });
                told.extend(notifications);
                if is_new {
                    let view = MessageView {
                        id,
                        seq,
                        sender_type: side,
                        sender_id: message.sender_id,
                        sender_name,
                        message: message.message,
                        message_type: message.message_type,
                        created_at,
                    };
                    new.push((socket.clone(), NewMessageEvent { chat_id: message.chat_id, message: view }));
                }
                any_socket = Some(socket);
            }
        }
    }
    new.sort_by_key(|(_, event)| (event.chat_id, event.message.seq));
    for (sender, event) in new {
        deliver(sender.to(rooms::chat(event.chat_id)), "new_message", &event);
    }
    if let Some(socket) = any_socket {
        tell(direct, &socket, told).await;
    }
}

/// Tells the recipients who are connected; the others find the notification when they come back.
async fn tell(direct: &Direct, socket: &SocketRef, notifications: Vec<NotificationView>) {
    let mut connected = HashSet::new();
    for notification in &notifications {
        let recipient = notification.recipient_id;
        if !connected.contains(&recipient) && !socket.within(rooms::user(recipient)).sockets().is_empty() {
            connected.insert(recipient);
        }
    }
    if connected.is_empty() {
        return;
    }
    let unread = match notifications::queries::count_unread(direct, &connected).await {
        Ok(unread) => unread,
        Err(error) => {
            tracing::error!(%error, "unread notifications could not be counted, so nobody was told");
            return;
        }
    };
    for notification in notifications {
        let recipient = notification.recipient_id;
        if let Some(&total_unread_count) = unread.get(&recipient) {
            notifications::tell(socket.within(rooms::user(recipient)), Created { notification, total_unread_count });
        }
    }
}
