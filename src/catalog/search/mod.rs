//! The public search for services, providers and places.

mod http;
mod queries;
mod types;

pub(super) use http::routes;
