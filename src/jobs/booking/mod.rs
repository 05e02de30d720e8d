//! From nothing to a new job: `/jobs/create` and `/customer/booking`.
//!
//! Invariants: a booking is one transaction: job, chat, members, first messages and the provider's notification are all
//! there or none is; a customer's bookings are decided one after the other.

mod http;
pub mod queries;
pub mod types;

pub use http::{ChatCreatedView, CreatedView, JobCreatedView, routes};
pub use types::{FirstMessage, cut, write_answers};
