//! A provider's public page.

mod http;
mod queries;

pub(super) use http::routes;
