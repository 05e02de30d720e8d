//! Chat: history over REST, and live over Socket.IO (`live/`).
//!
//! Invariants: only members read and write a chat; for everybody else it does not exist. `seq` counts 1, 2, 3… in each chat
//! without gaps. An acknowledged message is committed.

pub(crate) mod events;
mod files;
mod http;
pub(crate) mod job_chats;
mod list_queries;
mod lists;
pub mod live;
pub(crate) mod queries;
pub(crate) mod socket;
mod types;

pub(crate) use http::routes;
pub(crate) use types::{MAX_IMAGES, images_as_text, with_urls};
pub use types::{MAX_MESSAGE_CHARS, MessageType, MessageView};
