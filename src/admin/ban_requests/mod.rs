//! LSMs' requests to ban a provider, which admins decide.

mod http;
mod queries;

pub(super) use http::routes;
