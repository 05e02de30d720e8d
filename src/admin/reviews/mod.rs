//! Reviews of everybody, and their removal.

mod http;
mod queries;

pub(super) use http::routes;
