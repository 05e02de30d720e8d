//! Live chat: messages are stored in batches, and delivered once and in order to the sockets that are in their chat.
//!
//! Messages reach sockets through [`Rooms`] alone.

pub(crate) mod cursor_store;
mod delivery;
pub(crate) mod events;
pub mod insert_messages;
pub(crate) mod presence;
pub mod queries;
mod read_marks;
mod resume;
mod rooms;
mod session;
mod writer;

pub use delivery::CommittedMessage;
pub use read_marks::{ReadMark, ReadMarks};
pub use resume::ResumePoint;
pub use rooms::{JoinOutcome, PendingJoin, Rooms};
pub use session::{ChatSession, Sending};
pub use writer::{Acknowledge, Outgoing, WRITERS, Writer};
