//! Disputes for the LSM who resolves them.

mod http;
mod queries;

pub(super) use http::routes;
