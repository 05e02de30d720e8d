//! What a customer can do when the provider does not answer, or does not want to: ask again, or ask another.

mod http;
mod queries;

pub(super) use http::routes;
