//! Registration of customers and providers.

mod http;
mod queries;
mod types;

pub(super) use http::routes;
pub(crate) use queries::insert_user;
pub(crate) use types::NewUser;
