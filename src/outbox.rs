//! What a transaction announces: collected while it runs, published after its commit.

use crate::chat::live::Rooms;
use crate::notifications::{Created, deliver};
use crate::realtime::{Connections, EncodedEvent, ServerEvent};
use crate::types::ChatId;

/// Everything that a transaction announces once it is committed.
#[derive(Debug, Default)]
#[must_use = "publish it after the commit"]
pub struct Outbox {
    /// Notifications, each for its recipient.
    pub notifications: Vec<Created>,
    /// Chats with new messages, each with its last `seq`.
    pub lines: Vec<(ChatId, i64)>,
    events: Vec<(ChatId, EncodedEvent)>,
}

impl Outbox {
    /// Adds an event for everybody in a chat.
    pub fn emit<E: ServerEvent>(&mut self, chat: ChatId, event: &E) {
        self.events.push((chat, EncodedEvent::new(event)));
    }
}

impl FromIterator<Created> for Outbox {
    fn from_iter<T: IntoIterator<Item = Created>>(notifications: T) -> Self {
        Self { notifications: notifications.into_iter().collect(), ..Self::default() }
    }
}

/// Publishes what was committed to users and chats. Cheap to clone; without access to a database.
#[derive(Debug, Clone)]
pub struct Notifier {
    connections: Connections,
    rooms: Rooms,
}

impl Notifier {
    /// Publishes to these users, and in these chats.
    #[must_use]
    pub const fn new(connections: Connections, rooms: Rooms) -> Self {
        Self { connections, rooms }
    }

    /// Delivers the messages, then the events, then the notifications. To be called after the commit, never before.
    pub fn publish(&self, outbox: Outbox) {
        for (chat, seq) in outbox.lines {
            self.rooms.catch_up(chat, seq);
        }
        for (chat, event) in outbox.events {
            self.rooms.emit(chat, None, &event);
        }
        for created in outbox.notifications {
            deliver(&self.connections, created);
        }
    }
}
