//! Jobs: from request to payment.
//!
//! Invariants: every change of a job goes through the rules in `types.rs` and is one transaction: a conditional update of
//! the locked row, its audit row in `stm.job_events`, what it does to offers, payments and chats, and what its parties are
//! told; sockets are told after the commit. Of two racing changes that exclude each other one is refused.

mod booking;
pub mod queries;
mod transition;
mod types;
mod wording;

pub use booking::types::parse_date;
pub use booking::{customer_routes, routes};
pub use transition::{Command, Done, Locked, Payment, carry_out, lock, miss_deadline};
pub use types::{
    Action, Actor, CUSTOMER, JobId, JobStatus, OfferStatus, Outcome, PROVIDER, Party, RULES, Settings, State, Terms,
};
