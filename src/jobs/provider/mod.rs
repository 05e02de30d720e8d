//! What a provider does with a job: its answer to a request, and how far the work and the payment are.

mod http;

pub(super) use http::routes;
