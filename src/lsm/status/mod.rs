//! An LSM changes the status of its providers, or asks for a ban.

mod http;

pub(super) use http::routes;
