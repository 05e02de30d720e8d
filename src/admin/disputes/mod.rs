//! Disputes of everybody. LSMs resolve them.

mod http;
mod queries;

pub(super) use http::routes;
