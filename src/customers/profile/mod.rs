//! The calling customer's profile.

mod http;
mod queries;

pub(super) use http::routes;
