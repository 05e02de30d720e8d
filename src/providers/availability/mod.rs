//! Whether the calling provider takes bookings.

mod http;
mod queries;

pub(super) use http::routes;
