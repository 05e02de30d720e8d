//! Requests for services the catalogue lacks: a customer's, or a provider's who would offer it.
//!
//! Invariant: a request goes to one LSM, who is notified: the provider's own, or the oldest active one of the customer's
//! region. Where nobody serves the region it is stored all the same.

pub(crate) mod for_admin;
pub(crate) mod for_lsm;
mod http;
mod queries;
mod types;

pub(crate) use http::{request_of_new_provider, routes};
pub(crate) use types::ServiceRequestStatus;
