//! Messages, and the rules for those that clients send.

use serde::Serialize;
use utoipa::ToSchema;

use crate::types::{MessageId, Side, Timestamp, UserId, text_enum};
use crate::web::text;

text_enum! {
    /// The type of a message.
    MessageType {
        /// Words.
        Text = "text",
        /// The URL of an image.
        Image = "image",
        /// The URL of a document.
        Document = "document",
    }
}

/// The longest message, in characters.
pub const MAX_MESSAGE_CHARS: usize = 4000;

/// The longest `clientMessageId`, in bytes.
pub(super) const MAX_CLIENT_MESSAGE_ID_BYTES: usize = 128;

/// A message in a chat's history.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ChatMessageView)]
pub struct MessageView {
    pub id: MessageId,
    /// The position in the chat: 1, 2, 3… without gaps.
    pub seq: i64,
    /// The sender's side.
    pub sender_type: Side,
    /// The sender's user.
    pub sender_id: UserId,
    /// First and last name.
    pub sender_name: String,
    /// The text, or a URL.
    pub message: String,
    pub message_type: MessageType,
    /// When it was committed.
    pub created_at: Timestamp,
}

/// Checks the text of a message from a client.
///
/// # Errors
/// A sentence that names the field and the rule.
pub(super) fn check_message(text: &str, message_type: MessageType) -> Result<(), String> {
    if !text::is_visible(text) {
        return Err("message must not be empty".into());
    }
    if text.chars().count() > MAX_MESSAGE_CHARS {
        return Err(format!("message must be at most {MAX_MESSAGE_CHARS} characters"));
    }
    if text.contains('\0') {
        return Err("message must not contain the character U+0000".into());
    }
    let is_web_url =
        || url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if message_type != MessageType::Text && !is_web_url() {
        return Err(format!("message must be an http or https URL when message_type is {}", message_type.as_str()));
    }
    Ok(())
}

/// Checks a `clientMessageId`, the client's own name for a message.
///
/// # Errors
/// A sentence that names the field and the rule.
pub(super) fn check_client_message_id(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > MAX_CLIENT_MESSAGE_ID_BYTES || text.contains('\0') {
        return Err(format!(
            "clientMessageId must be 1 to {MAX_CLIENT_MESSAGE_ID_BYTES} bytes, without the character U+0000"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        assert_eq!(check_message("hello", MessageType::Text), Ok(()));
        assert_eq!(check_message(&"é".repeat(MAX_MESSAGE_CHARS), MessageType::Text), Ok(()));
        assert_eq!(check_message("https://cdn.example.com/a.png", MessageType::Image), Ok(()));
        for (text, message_type) in [
            ("", MessageType::Text),
            (" \n", MessageType::Text),
            ("\u{200b}\u{feff}", MessageType::Text),
            ("a\0b", MessageType::Text),
            ("a picture", MessageType::Image),
            ("file:///etc/passwd", MessageType::Document),
            ("javascript:alert(1)", MessageType::Document),
        ] {
            assert!(check_message(text, message_type).is_err(), "{text:?}");
        }
        assert!(check_message(&"x".repeat(MAX_MESSAGE_CHARS + 1), MessageType::Text).is_err());
    }
}
