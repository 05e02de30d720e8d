//! Chat: history over REST, live over Socket.IO.
//!
//! Invariants: whoever is not a member of a chat, or has left it, neither reads nor writes it, and cannot
//! tell it from one that does not exist; `seq` counts 1, 2, 3… per chat without gaps; an acknowledged
//! message is committed.

mod http;
mod list_queries;
mod lists;
mod queries;
pub mod socket;
mod types;

pub use http::routes;
pub use queries::{NewMessage, Outcome, Present, Stored, insert_messages};
pub use types::{ChatId, MAX_MESSAGE_CHARS, MessageId, MessageType, MessageView, Side};
