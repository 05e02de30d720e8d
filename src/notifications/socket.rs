//! Tells users, over their sockets, what has been committed.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Created, NotificationView};
use crate::realtime::Encoded;
use crate::realtime::connections::Connections;

/// Emits `notification:created`. Cheap to clone; holds no connection to a database.
#[derive(Debug, Clone)]
pub struct Notifier(Connections);

/// `notification:created`
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationCreated {
    notification: NotificationView,
    /// How many unread notifications the recipient has, this one included.
    total_unread_count: i64,
}

impl Notifier {
    /// Emits to the sockets of these users.
    #[must_use]
    pub const fn new(connections: Connections) -> Self {
        Self(connections)
    }

    /// Tells each recipient's sockets. Call it after the commit, never before.
    pub fn tell(&self, created: impl IntoIterator<Item = Created>) {
        created.into_iter().for_each(|created| tell(&self.0, created));
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
