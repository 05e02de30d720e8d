//! Messages, and the rules for those that clients send.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::files::{Audience, FileUrls};
use crate::types::{ChatId, MessageId, Side, Timestamp, UserId, text_enum};
use crate::web::text;

text_enum! {
    /// The type of a message.
    MessageType {
        /// Words.
        Text = "text",
        /// Images, as JSON: `{"images":[url,…],"count":n}`.
        Image = "image",
        /// The URL of a document.
        Document = "document",
    }
}

/// The longest message, in characters.
pub const MAX_MESSAGE_CHARS: usize = 4000;

/// The most images of one message.
pub(crate) const MAX_IMAGES: usize = 10;

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
    /// The text; of a document its URL; of images `{"images":[url,…],"count":n}`, as JSON text.
    pub message: String,
    pub message_type: MessageType,
    /// When it was committed.
    pub created_at: Timestamp,
}

impl MessageView {
    /// The message as members of its chat see it.
    pub(crate) fn with_urls(mut self, chat: ChatId, urls: &FileUrls) -> Self {
        self.message = with_urls(self.message, self.message_type, chat, urls);
        self
    }
}

/// The text of a message as members of its chat see it: what refers to files of ours becomes URLs made for the chat.
pub(crate) fn with_urls(text: String, message_type: MessageType, chat: ChatId, urls: &FileUrls) -> String {
    let audience = Audience::Chat(chat);
    match message_type {
        MessageType::Text => text,
        MessageType::Document => urls.of_reference(text, audience),
        MessageType::Image => match serde_json::from_str::<Images>(&text) {
            Ok(Images { images, .. }) => images_as_text(&urls.of_references(images, audience)),
            Err(_) => text,
        },
    }
}

/// The text of a checked message as it is stored: URLs of files of ours become references.
///
/// # Errors
/// A sentence: such a URL has expired, or was made for somebody else or another chat.
pub(super) fn with_references(
    text: String,
    message_type: MessageType,
    chat: ChatId,
    sender: UserId,
    urls: &FileUrls,
) -> Result<String, String> {
    let refer = |url: String| match urls.own_file(&url, &[Audience::Uploader(sender), Audience::Chat(chat)]) {
        None => Ok(url),
        Some(Ok(file)) => Ok(file.reference),
        Some(Err(())) => {
            Err("message must name files that you have uploaded, or that are in this chat: upload it again".to_owned())
        }
    };
    match message_type {
        MessageType::Text => Ok(text),
        MessageType::Document => refer(text),
        MessageType::Image => match serde_json::from_str::<Images>(&text) {
            Ok(Images { images, .. }) => {
                Ok(images_as_text(&images.into_iter().map(refer).collect::<Result<Vec<_>, _>>()?))
            }
            Err(_) => Ok(text),
        },
    }
}

/// The text of a message of images.
#[derive(Serialize, Deserialize)]
struct Images {
    images: Vec<String>,
    #[serde(default)]
    count: usize,
}

/// The text of a message that shows these images.
pub(crate) fn images_as_text(images: &[String]) -> String {
    let images = Images { images: images.to_vec(), count: images.len() };
    serde_json::to_string(&images).unwrap_or_default()
}

/// Checks the text of a message from a client. Returns the text that is stored: images are in one form.
///
/// # Errors
/// A sentence that names the field and the rule.
pub(super) fn check_message(text: String, message_type: MessageType) -> Result<String, String> {
    if !text::is_visible(&text) {
        return Err("message must not be empty".into());
    }
    if text.chars().count() > MAX_MESSAGE_CHARS {
        return Err(format!("message must be at most {MAX_MESSAGE_CHARS} characters"));
    }
    if text.contains('\0') {
        return Err("message must not contain the character U+0000".into());
    }
    match message_type {
        MessageType::Text => Ok(text),
        MessageType::Document if is_web_url(&text) => Ok(text),
        MessageType::Document => Err("message must be one http or https URL when message_type is document".into()),
        MessageType::Image => check_images(&text),
    }
}

fn check_images(text: &str) -> Result<String, String> {
    if is_web_url(text) {
        return Ok(images_as_text(&[text.to_owned()]));
    }
    let images = match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) if value.is_object() => serde_json::from_value::<Images>(value).ok(),
        _ => None,
    };
    images
        .filter(|Images { images, .. }| (1..=MAX_IMAGES).contains(&images.len()) && images.iter().all(|url| is_web_url(url)))
        .map(|Images { images, .. }| images_as_text(&images))
        .ok_or_else(|| {
            format!(
                "message must be an http or https URL, or JSON text {{\"images\":[url,…],\"count\":n}} with 1 to {MAX_IMAGES} \
                 of them, when message_type is image"
            )
        })
}

fn is_web_url(text: &str) -> bool {
    !text.contains(char::is_whitespace)
        && url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
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

    fn check(text: &str, message_type: MessageType) -> Result<String, String> {
        check_message(text.to_owned(), message_type)
    }

    #[test]
    fn messages() {
        assert_eq!(check("hello", MessageType::Text).as_deref(), Ok("hello"));
        assert!(check(&"é".repeat(MAX_MESSAGE_CHARS), MessageType::Text).is_ok());
        for (text, message_type) in [
            ("", MessageType::Text),
            (" \n", MessageType::Text),
            ("\u{200b}\u{feff}", MessageType::Text),
            ("a\0b", MessageType::Text),
            ("a picture", MessageType::Image),
            ("file:///etc/passwd", MessageType::Document),
            ("javascript:alert(1)", MessageType::Document),
            ("https://a.example/1 https://a.example/2", MessageType::Document),
        ] {
            assert!(check(text, message_type).is_err(), "{text:?}");
        }
        assert!(check(&"x".repeat(MAX_MESSAGE_CHARS + 1), MessageType::Text).is_err());
    }

    #[test]
    fn images_are_in_one_form() {
        let one = r#"{"images":["https://cdn.example/a.png"],"count":1}"#;
        for text in ["https://cdn.example/a.png", one, r#" {"count": 7, "images": ["https://cdn.example/a.png"]}"#] {
            assert_eq!(check(text, MessageType::Image).as_deref(), Ok(one), "{text}");
        }
        let many = |count| images_as_text(&vec!["https://cdn.example/a.png".to_owned(); count]);
        assert_eq!(check(&many(MAX_IMAGES), MessageType::Image), Ok(many(MAX_IMAGES)));
        let list = r#"[["https://cdn.example/a.png"], 1]"#;
        for text in [&many(0), &many(MAX_IMAGES + 1), r#"{"images":["file:///etc/passwd"],"count":1}"#, list, "{}"] {
            assert!(check(text, MessageType::Image).is_err(), "{text}");
        }
    }
}
