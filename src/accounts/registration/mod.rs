//! Registration of customers and providers.

mod http;
mod queries;
mod types;

pub(super) use http::routes;
