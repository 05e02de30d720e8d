//! The services that the calling provider offers.

mod http;
mod queries;

pub(super) use http::{OfferedServiceView, routes};
pub(crate) use queries::insert as add_service;
