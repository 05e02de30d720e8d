//! The marketplace's settings. They apply to what happens after the change.

mod http;
mod queries;

pub(super) use http::routes;
