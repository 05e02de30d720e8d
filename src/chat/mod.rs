//! Chat: history over REST, live over Socket.IO.
//!
//! Invariants: whoever is not a member of a chat, or has left it, neither reads nor writes it, and cannot
//! tell it from one that does not exist; `seq` counts 1, 2, 3… per chat without gaps; an acknowledged
//! message is committed.

pub mod events;
mod http;
pub mod job_chats;
mod list_queries;
mod lists;
mod live;
pub mod queries;
pub mod socket;
mod types;

pub use http::routes;
pub use live::{Marked, NewMessage, Outcome, Present, Stored, insert_messages, is_allowed_in, list_missed, set_read};
pub use types::{MAX_MESSAGE_CHARS, MessageType, MessageView};
