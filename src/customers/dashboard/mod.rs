//! The calling customer's dashboard.

mod http;
mod queries;

pub(super) use http::routes;
