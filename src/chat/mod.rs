//! Chat: history over REST, and live over Socket.IO (`live/`).
//!
//! Invariants: whoever is not a member of a chat, or has left it, neither reads nor writes it, and cannot
//! distinguish it from one that does not exist; `seq` counts 1, 2, 3… per chat without gaps; an acknowledged
//! message is committed.

pub mod events;
mod http;
pub mod job_chats;
mod list_queries;
mod lists;
pub mod live;
pub mod queries;
pub mod socket;
mod types;

pub use http::routes;
pub use types::{MAX_MESSAGE_CHARS, MessageType, MessageView};
