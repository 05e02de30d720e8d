//! The calling customer.
//!
//! Invariant: a customer sees and changes only what is found by the caller's own user id.

mod http;
mod queries;
mod types;

pub use http::routes;
pub use types::CustomerId;
