//! Lists of the calling provider's jobs. Actions on one job are in [`crate::jobs`].

mod http;
mod queries;

pub(crate) use http::JobsQuery;
pub(super) use http::routes;
pub(crate) use queries::JobFilter;
