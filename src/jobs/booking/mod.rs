//! From nothing to a new job: `/jobs/create` and `/customer/booking`.
//!
//! Invariants: a booking is one transaction, so job, chat, members, first messages and the provider's notification are all
//! stored, or none is; a customer's bookings are decided one after the other.

mod http;
pub(super) mod queries;
mod types;

pub(super) use http::{ChatCreatedView, CreatedView, JobCreatedView, NEW_REQUEST, REQUESTED, new_request, routes};
pub(crate) use types::truncate_to_message;
pub(super) use types::{FirstMessage, write_answers};
