//! Reminders for providers to confirm that they are available.

mod http;

pub(super) use http::routes;
