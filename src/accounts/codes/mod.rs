//! One-time codes by e-mail: to reset a password, and to confirm an e-mail address.

mod http;
mod queries;
mod types;

pub(super) use http::routes;
