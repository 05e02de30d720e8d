//! Jobs of everybody.

mod http;
mod queries;

pub(super) use http::routes;
