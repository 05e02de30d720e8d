//! The events of chats besides messages, such as `user_typing` and `messages_read`: emitted to members only.
//!
//! The news that a membership has ended, or begun again, may come late. So the database is asked before anything is
//! emitted, and before anybody is taken out: once for whatever has arrived while it was asked the last time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use socketioxide::socket::Sid;
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;

use super::queries;
use super::rooms::Rooms;
use crate::realtime::EncodedEvent;
use crate::supervision::Task;
use crate::types::{ChatId, UserId};

/// How many events may wait; more are dropped, and clients see the state when they next look.
const MAX_QUEUED: usize = 8192;

/// How long after a failure the database is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// The largest batch.
const MAX_BATCH: usize = 256;

/// An event for everybody in a chat.
#[derive(Debug)]
pub(super) struct RoomEvent {
    pub(super) chat: ChatId,
    /// The socket that caused it.
    pub(super) except: Option<Sid>,
    pub(super) event: EncodedEvent,
    /// Whether a slow reader may miss it: its buffer is for messages.
    pub(super) is_volatile: bool,
}

/// What waits for an answer of the database.
#[derive(Debug)]
enum Queued {
    Event(RoomEvent),
    /// A user is said to have left a chat.
    Departure(ChatId, UserId),
}

/// Events on their way to the sockets of their chats, in order.
#[derive(Debug)]
pub(super) struct EventQueue {
    sender: mpsc::Sender<Queued>,
    received: Mutex<mpsc::Receiver<Queued>>,
}

impl Default for EventQueue {
    fn default() -> Self {
        let (sender, received) = mpsc::channel(MAX_QUEUED);
        Self { sender, received: Mutex::new(received) }
    }
}

impl EventQueue {
    pub(super) fn push(&self, event: RoomEvent) {
        if self.sender.try_send(Queued::Event(event)).is_err() {
            tracing::warn!("too many events at once: one was not emitted");
        }
    }
}

impl Rooms {
    /// Takes a user who is said to have left out of a chat, if the database confirms it.
    pub async fn check_departure(&self, chat: ChatId, user: UserId) {
        // Closed only with the last of these.
        let _never_closed = self.0.events.sender.send(Queued::Departure(chat, user)).await;
    }
}

/// Emits the events of chats for as long as the process lives.
pub(crate) async fn run(rooms: Rooms, task: Arc<Task>) -> anyhow::Result<()> {
    let mut received = rooms.0.events.received.lock().await;
    task.works();
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while received.recv_many(&mut batch, MAX_BATCH).await > 0 {
        while let Err(error) = settle(&rooms, &mut batch).await {
            tracing::warn!(%error, events = batch.len(), "events of chats were not emitted");
            // Events are of their moment. Departures hold.
            batch.retain(|queued| matches!(queued, Queued::Departure(..)));
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }
    Ok(())
}

async fn settle(rooms: &Rooms, batch: &mut Vec<Queued>) -> sqlx::Result<()> {
    let chats: HashSet<_> = batch
        .iter()
        .map(|queued| match queued {
            Queued::Event(event) => event.chat,
            Queued::Departure(chat, _) => *chat,
        })
        .collect();
    let (chats, at) = (Vec::from_iter(chats), Instant::now());
    let members = rooms.0.bulkhead.run(async |direct| queries::list_members(direct, &chats).await).await?;
    let members_of = |chat: &ChatId| members.get(chat).map_or(&[][..], Vec::as_slice);
    for queued in batch.drain(..) {
        match queued {
            Queued::Event(event) => rooms.emit_to(members_of(&event.chat), &event),
            Queued::Departure(chat, user) if !members_of(&chat).contains(&user) => rooms.evict(chat, user, at),
            Queued::Departure(..) => {}
        }
    }
    Ok(())
}
