//! An LSM settles the disputes about its providers.

mod http;
mod queries;

pub use http::routes;
