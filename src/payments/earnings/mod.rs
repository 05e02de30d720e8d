//! What a provider has earned and invoiced.

mod http;
mod queries;

pub(super) use http::routes;
