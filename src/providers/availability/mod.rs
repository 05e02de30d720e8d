//! Whether the calling provider takes bookings.

mod http;
mod queries;

pub(super) use http::routes;
pub(crate) use queries::{claim_unreminded, count_unreminded};
