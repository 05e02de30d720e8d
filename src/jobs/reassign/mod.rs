//! A customer's actions when the provider does not answer or rejects: send again, or reassign.

mod http;
mod queries;

pub(super) use http::routes;
