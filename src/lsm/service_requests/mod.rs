//! An LSM decides on requests for services.

mod http;

pub(super) use http::routes;
