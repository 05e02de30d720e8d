//! Tells users, over their sockets, what has been committed.

use serde::Serialize;
use socketioxide::SocketIo;
use socketioxide::operators::BroadcastOperators;

use super::{Created, NotificationView};
use crate::realtime::{self, rooms};

/// Emits `notification:created`. Cheap to clone; holds no connection to a database.
#[derive(Clone)]
pub struct Notifier {
    io: SocketIo,
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Notifier")
    }
}

/// The payload of `notification:created`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NotificationCreated {
    notification: NotificationView,
    total_unread_count: i64,
}

impl Notifier {
    /// Emits through `io`.
    #[must_use]
    pub const fn new(io: SocketIo) -> Self {
        Self { io }
    }

    /// Tells each recipient's sockets. Call it after the commit, never before.
    pub fn tell(&self, created: impl IntoIterator<Item = Created>) {
        let Some(namespace) = self.io.of(realtime::NAMESPACE) else {
            return;
        };
        for created in created {
            let room = rooms::user(created.notification.recipient_id);
            tell(namespace.clone().to(room), created);
        }
    }
}

/// Tells the sockets in `room`, which is the recipient's. One whose buffer is full misses it; the row is
/// there for the client's next look.
pub fn tell(room: BroadcastOperators, created: Created) {
    let Created { notification, total_unread_count } = created;
    realtime::deliver(room, "notification:created", &NotificationCreated { notification, total_unread_count });
}
