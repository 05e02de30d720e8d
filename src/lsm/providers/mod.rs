//! An LSM's providers.

mod http;
mod queries;

pub(super) use http::routes;
