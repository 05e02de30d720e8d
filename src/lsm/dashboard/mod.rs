//! An LSM's region in numbers.

mod http;
mod queries;

pub(super) use http::routes;
