//! Money: what a provider has earned, invoices, and Stripe.
//!
//! Invariants: an invoice is a row, once per job. No transaction is open while Stripe is asked. A payment changes a job
//! only by its rules, so that Stripe's event and the provider's word together pay once. What Stripe says is applied
//! only if it is signed, new, and about the same job and amount; else every admin is notified.

mod earnings;
mod messages;
mod queries;
mod sending;
mod settlement;
mod signature;
mod stripe;
mod types;
mod webhook;

use utoipa_axum::router::OpenApiRouter;

use crate::state::ApiState;

pub(crate) use sending::attempts::attempt_due;
pub(crate) use stripe::Stripe;

/// The routes of all pages.
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    earnings::routes().merge(sending::routes()).merge(webhook::routes())
}
