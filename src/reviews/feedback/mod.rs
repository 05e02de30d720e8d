//! A review being given, and jobs that wait for one.

mod http;
mod queries;

pub(super) use http::routes;
