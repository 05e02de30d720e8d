//! Jobs: from request to payment.
//!
//! Invariants: every change of a job goes through the rules in `types.rs` and is one transaction: a conditional update of
//! the locked row, its audit row in `stm.job_events`, what it does to offers, payments and chats, and what its parties are
//! told; sockets are told after the commit. Of two racing changes that exclude each other one is refused.

mod booking;
mod customer;
pub mod deadlines;
mod details;
mod details_queries;
mod provider;
pub mod queries;
mod reassign;
mod reassign_queries;
mod transition;
mod types;
mod wording;

use utoipa_axum::router::OpenApiRouter;

use crate::state::ApiState;

pub use transition::{Command, Done, Locked, Payment, carry_out, lock, miss_deadline};
pub use types::{Action, Actor, CUSTOMER, Outcome, PROVIDER, RULES, Settings, State, Terms};

/// The routes below `/jobs`.
#[must_use]
pub fn routes() -> OpenApiRouter<ApiState> {
    booking::routes().merge(reassign::routes())
}

/// The routes below `/customer`.
#[must_use]
pub fn customer_routes() -> OpenApiRouter<ApiState> {
    booking::customer_routes()
}

/// The routes below `/customers`.
#[must_use]
pub fn customers_routes() -> OpenApiRouter<ApiState> {
    details::customer_routes().merge(customer::routes())
}

/// The routes below `/provider`.
#[must_use]
pub fn provider_routes() -> OpenApiRouter<ApiState> {
    details::provider_routes().merge(provider::routes())
}
