//! The reviews of an LSM's providers.

mod http;
mod queries;

pub(super) use http::routes;
