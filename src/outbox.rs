//! The announcements of a transaction: collected while it runs, published after its commit.

use crate::chat::live::Rooms;
use crate::notifications::{self, Created, NewNotification, NotificationType, deliver};
use crate::realtime::{Connections, EncodedEvent, ServerEvent};
use crate::types::{ChatId, UserId};
use doors::{Door, Tx};

/// Everything that a transaction announces once it is committed.
#[derive(Debug, Default)]
#[must_use = "publish it after the commit"]
pub struct Outbox {
    notifications: Vec<Created>,
    /// Chats with new messages, each with its last `seq`.
    messages: Vec<(ChatId, i64)>,
    events: Vec<(ChatId, EncodedEvent)>,
}

impl Outbox {
    /// Inserts notifications, and adds each for its recipient.
    pub(crate) async fn notify<D: Door>(
        &mut self,
        tx: &mut Tx<D>,
        notifications: impl IntoIterator<Item = NewNotification>,
    ) -> sqlx::Result<()> {
        for notification in notifications {
            self.notifications.push(notifications::queries::insert(tx, notification).await?);
        }
        Ok(())
    }

    /// Adds a notification that was inserted with its cause.
    pub(crate) fn notified(&mut self, notification: Created) {
        self.notifications.push(notification);
    }

    /// Inserts the same notification for many, and adds each for its recipient.
    pub(crate) async fn notify_all<D: Door>(
        &mut self,
        tx: &mut Tx<D>,
        recipients: &[UserId],
        kind: NotificationType,
        title: &str,
        message: &str,
    ) -> sqlx::Result<()> {
        self.notifications.extend(notifications::queries::insert_same(tx, recipients, kind, title, message).await?);
        Ok(())
    }

    /// The notifications, each for its recipient.
    pub fn notifications(&self) -> &[Created] {
        &self.notifications
    }

    /// Adds a message that was inserted into a chat.
    pub(crate) fn message(&mut self, chat: ChatId, seq: i64) {
        self.messages.push((chat, seq));
    }

    /// Adds everything of another outbox of the same transaction.
    pub(crate) fn append(&mut self, other: Self) {
        let Self { notifications, messages, events } = other;
        self.notifications.extend(notifications);
        self.messages.extend(messages);
        self.events.extend(events);
    }

    /// Adds an event for everybody in a chat.
    pub(crate) fn emit<E: ServerEvent>(&mut self, chat: ChatId, event: &E) {
        self.events.push((chat, EncodedEvent::new(event)));
    }
}

/// Publishes what was committed to users and chats. Cheap to clone; without access to a database.
#[derive(Debug, Clone)]
pub struct Notifier {
    connections: Connections,
    rooms: Rooms,
}

impl Notifier {
    pub(crate) const fn new(connections: Connections, rooms: Rooms) -> Self {
        Self { connections, rooms }
    }

    /// Delivers the messages, then the events, then the notifications. To be called after the commit, never before.
    pub fn publish(&self, outbox: Outbox) {
        for (chat, seq) in outbox.messages {
            self.rooms.catch_up(chat, seq);
        }
        for (chat, event) in outbox.events {
            self.rooms.emit(chat, None, event);
        }
        for created in outbox.notifications {
            deliver(&self.connections, created);
        }
    }
}
