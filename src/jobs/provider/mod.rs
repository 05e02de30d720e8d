//! A provider's actions on a job: its answer to a request, and the progress of work and payment.

mod http;

pub(super) use http::routes;
