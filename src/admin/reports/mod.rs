//! Figures by region.

mod http;
mod queries;

pub(super) use http::routes;
