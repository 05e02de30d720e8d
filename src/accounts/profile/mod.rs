//! The calling user's own account: profile, changes, export.

mod http;
mod queries;

pub(super) use http::routes;
