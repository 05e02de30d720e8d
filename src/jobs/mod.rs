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

/// The feature's routes.
#[must_use]
pub fn routes() -> OpenApiRouter<ApiState> {
    booking::routes()
        .merge(customer::routes())
        .merge(details::routes())
        .merge(provider::routes())
        .merge(reassign::routes())
}
