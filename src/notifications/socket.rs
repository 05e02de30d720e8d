//! Tells users, over their sockets, what has been committed.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Created, NotificationView};
use crate::realtime::Encoded;
use crate::realtime::connections::Connections;
use crate::realtime::rooms::Rooms;
use crate::types::ChatId;

/// Tells users and chats what was committed. Cheap to clone; gives no way to a database.
#[derive(Debug, Clone)]
pub struct Notifier {
    connections: Connections,
    rooms: Rooms,
}

/// What a change tells once it is committed.
#[derive(Debug, Default)]
#[must_use = "spread it after the commit"]
pub struct News {
    /// Notifications, each for its recipient.
    pub notifications: Vec<Created>,
    /// Lines that were added to chats: which chat, and up to which `seq`.
    pub lines: Vec<(ChatId, i64)>,
    /// Events for everybody in a chat.
    events: Vec<(ChatId, &'static str, Encoded)>,
}

impl News {
    /// An event for everybody in a chat.
    pub fn emit(&mut self, chat: ChatId, event: &'static str, payload: &impl Serialize) {
        self.events.push((chat, event, Encoded::new(payload)));
    }
}

/// `notification:created`
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationCreated {
    notification: NotificationView,
    /// How many unread notifications the recipient has, this one included.
    total_unread_count: i64,
}

impl Notifier {
    /// Emits to these users, in these chats.
    #[must_use]
    pub const fn new(connections: Connections, rooms: Rooms) -> Self {
        Self { connections, rooms }
    }

    /// Tells each recipient's sockets. Call it after the commit, never before.
    pub fn tell(&self, created: impl IntoIterator<Item = Created>) {
        created.into_iter().for_each(|created| tell(&self.connections, created));
    }

    /// Tells everything. Call it after the commit, never before.
    pub fn spread(&self, news: News) {
        for (chat, seq) in news.lines {
            self.rooms.catch_up(chat, seq);
        }
        for (chat, event, payload) in news.events {
            self.rooms.tell(chat, None, event, &payload);
        }
        self.tell(news.notifications);
    }
}

/// Tells every socket of the recipient. One whose buffer is full misses it; the row is there for the client's
/// next look.
pub fn tell(connections: &Connections, created: Created) {
    let Created { notification, total_unread_count } = created;
    let recipient = notification.recipient_id;
    let payload = Encoded::new(&NotificationCreated { notification, total_unread_count });
    connections.tell(recipient, "notification:created", &payload);
}
