//! The admin's start page: figures, what happened last, what waits, and charts.

mod http;
mod queries;
mod types;

pub(super) use http::routes;
