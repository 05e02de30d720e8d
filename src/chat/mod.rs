//! Chat: history over REST, and live over Socket.IO (`live/`).
//!
//! Invariants: whoever is not a member of a chat, or has left it, neither reads nor writes it, and cannot
//! distinguish it from one that does not exist; `seq` counts 1, 2, 3… per chat without gaps; an acknowledged
//! message is committed.

pub(crate) mod events;
mod http;
pub(crate) mod job_chats;
mod list_queries;
mod lists;
pub mod live;
pub(crate) mod queries;
pub(crate) mod socket;
mod types;

pub(crate) use http::routes;
pub use types::{MAX_MESSAGE_CHARS, MessageType, MessageView};
