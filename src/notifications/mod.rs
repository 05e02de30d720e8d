//! Notifications of users, as rows and over sockets.
//!
//! Invariants: a notification is inserted in the transaction of its cause, and emitted after the commit, to the sockets of
//! its recipient alone. For everybody else it does not exist.

mod deliver;
mod http;
pub(crate) mod queries;
mod types;

pub(crate) use deliver::{NotificationCreated, deliver};
pub(crate) use http::routes;
pub(crate) use types::{Created, NewNotification, NotificationType, NotificationView};
