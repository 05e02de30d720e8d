//! Notifications over sockets, once they are committed.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Created, NotificationView};
use crate::realtime::{Connections, EncodedEvent, ServerEvent};

/// `notification:created`
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NotificationCreated {
    notification: NotificationView,
    /// How many unread notifications the recipient has, this one included.
    total_unread_count: i64,
}

impl ServerEvent for NotificationCreated {
    const NAME: &'static str = "notification:created";
}

/// Emits a committed notification to every socket of its recipient. A socket whose buffer is full misses it; the row is
/// there when the client next looks.
pub(crate) fn deliver(connections: &Connections, created: Created) {
    let Created { notification, total_unread_count } = created;
    let recipient = notification.recipient_id;
    let event = EncodedEvent::new(&NotificationCreated { notification, total_unread_count });
    connections.emit(recipient, &event);
}
