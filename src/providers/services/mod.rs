//! The services that the calling provider offers.

mod http;
mod queries;

pub(crate) use http::OfferedServiceView;
pub(super) use http::routes;
pub(crate) use queries::insert as add_service;
