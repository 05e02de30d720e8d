//! Sending an invoice, and making or voiding it at Stripe.

pub(crate) mod attempts;
mod http;
mod queries;

pub(super) use http::routes;
