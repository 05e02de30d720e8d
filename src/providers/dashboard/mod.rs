//! The calling provider's dashboard.

mod http;
mod queries;

pub(super) use http::routes;
