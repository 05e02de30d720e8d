//! A job in full, for one of its two parties.

mod http;
mod queries;
mod types;

pub(super) use http::routes;
