//! An LSM settles the disputes about its providers.

mod http;
mod queries;

pub(super) use http::routes;
