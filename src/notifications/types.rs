//! Notifications as values.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::types::{NotificationId, Role, Timestamp, UserId, text_enum};

text_enum! {
    /// What a notification is about.
    NotificationType {
        /// A job changed.
        Job = "job",
        /// Money moved.
        Payment = "payment",
        /// A chat message arrived while its recipient was not in the chat.
        Message = "message",
        /// A message from the platform.
        System = "system",
        /// A review.
        Feedback = "feedback",
    }
}

/// A notification to be written.
#[derive(Debug)]
pub struct NewNotification {
    pub recipient_id: UserId,
    pub kind: NotificationType,
    /// A few words.
    pub title: Cow<'static, str>,
    pub message: String,
    /// What a client needs to open the right page; names in camelCase.
    pub metadata: Value,
}

/// A notification as its recipient sees it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct NotificationView {
    pub id: NotificationId,
    /// The recipient's role.
    pub recipient_type: Role,
    /// The recipient's user.
    pub recipient_id: UserId,
    #[serde(rename = "type")]
    pub kind: NotificationType,
    /// A few words.
    pub title: String,
    pub message: String,
    /// Whether the recipient has read it.
    pub is_read: bool,
    pub created_at: Timestamp,
    /// What a client needs to open the right page. Each name is there in camelCase and in `snake_case`.
    #[schema(value_type = Object)]
    #[serde(serialize_with = "in_both_spellings")]
    pub metadata: Value,
}

/// Clients in the field read `chat_id`, others `chatId`.
fn in_both_spellings<S: Serializer>(metadata: &Value, serializer: S) -> Result<S::Ok, S::Error> {
    let members = metadata.as_object().into_iter().flatten();
    let twins = members.flat_map(|(name, value)| [(name.clone(), value.clone()), (snake_case(name), value.clone())]);
    twins.collect::<Map<_, _>>().serialize(serializer)
}

/// `chatId` as `chat_id`.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 1);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// A written notification, to be emitted after the commit.
#[derive(Debug, Clone)]
#[must_use = "publish it after the commit"]
pub struct Created {
    pub notification: NotificationView,
    /// How many unread notifications the recipient has, this one included.
    pub total_unread_count: i64,
}

impl Created {
    /// A notification with what was decided when it was inserted.
    pub(crate) fn new(
        new: NewNotification,
        id: NotificationId,
        recipient_type: Role,
        created_at: DateTime<Utc>,
        total_unread_count: i64,
    ) -> Self {
        let notification = NotificationView {
            id,
            recipient_type,
            recipient_id: new.recipient_id,
            kind: new.kind,
            title: new.title.into_owned(),
            message: new.message,
            is_read: false,
            created_at: created_at.into(),
            metadata: new.metadata,
        };
        Self { notification, total_unread_count }
    }
}
