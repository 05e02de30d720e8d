//! The services that the calling provider offers.

mod http;
mod queries;

pub(crate) use http::OfferedServiceView;
pub(super) use http::routes;
