//! A review being given, and jobs that wait for one.

mod http;
pub(super) mod queries;

pub(super) use http::routes;
