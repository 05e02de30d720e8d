//! Texts that are sent in the calling provider's name.

mod http;
mod queries;

pub(super) use http::routes;
