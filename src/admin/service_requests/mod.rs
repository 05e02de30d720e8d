//! Requests for services that the catalogue lacks, once their LSM has approved them.

mod http;

pub(super) use http::routes;
