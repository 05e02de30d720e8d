//! What users are told.
//!
//! Invariants: a notification is written in the same transaction as its cause, and told to its recipient's
//! sockets, nobody else's, after the commit; whoever is not its recipient cannot tell it from one that does
//! not exist.

mod http;
pub mod queries;
mod socket;
mod types;

pub use http::routes;
pub use socket::{News, NotificationCreated, Notifier, tell};
pub use types::{Created, NewNotification, NotificationType, NotificationView};
