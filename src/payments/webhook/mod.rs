//! Stripe's events.

mod http;
mod queries;
mod types;

pub(super) use http::routes;
