//! Services that somebody misses: a customer, or a provider who would offer it.
//!
//! Invariant: a request goes to one LSM, who is told: the provider's own, or the oldest active one of the
//! customer's region. Where nobody serves the region it is kept all the same.

mod http;
mod queries;
mod types;

pub use http::routes;
pub use types::ServiceRequestStatus;
