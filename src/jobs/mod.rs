//! Jobs: from request to payment, with the offers about them.
//!
//! Invariants: every change of a job is a rule of `rules.rs` and one transaction: a conditional update of the locked row,
//! its audit row in `stm.job_events`, its effects on offers, payments and chats, and the notifications of its parties.
//! Sockets are notified after the commit. Of two racing changes that exclude each other one is refused.

mod booking;
mod customer;
pub mod deadlines;
mod details;
mod images;
mod mails;
mod messages;
pub(crate) mod offers;
mod provider;
mod queries;
mod reassign;
mod rules;
mod transition;
mod types;

use utoipa_axum::router::OpenApiRouter;

use crate::state::ApiState;

pub(crate) use booking::truncate_to_message;
pub(crate) use messages::dollars;
pub(crate) use queries::{Event, insert_event};
pub use transition::{Job, Stored, Transition};
pub use types::{Action, Command, PaymentMethod};

/// The feature's routes.
#[must_use]
pub fn routes() -> OpenApiRouter<ApiState> {
    booking::routes()
        .merge(customer::routes())
        .merge(details::routes())
        .merge(images::routes())
        .merge(offers::routes())
        .merge(provider::routes())
        .merge(reassign::routes())
}
