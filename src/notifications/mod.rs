//! Notifications of users, as rows and over sockets.
//!
//! Invariants: a notification is written in the same transaction as its cause, and emitted after the commit to the
//! sockets of its recipient and nobody else; whoever is not its recipient cannot distinguish it from one that does not
//! exist.

mod deliver;
mod http;
pub(crate) mod queries;
mod types;

pub(crate) use deliver::{NotificationCreated, deliver};
pub(crate) use http::routes;
pub(crate) use types::{Created, NewNotification, NotificationType, NotificationView};
