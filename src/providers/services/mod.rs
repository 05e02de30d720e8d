//! The services that the calling provider offers.

mod http;
mod queries;

pub(super) use http::{OfferedServiceView, routes};
