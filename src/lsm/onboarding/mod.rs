//! Providers who wait for their LSM.

mod http;
mod queries;

pub(super) use http::routes;
