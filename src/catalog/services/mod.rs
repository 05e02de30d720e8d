//! The services of the catalogue, and the providers of one service.

mod http;
mod queries;
mod types;

pub(super) use http::routes;
pub(super) use queries::service_exists;
