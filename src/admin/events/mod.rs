//! The record of what admins do, inserted in the transaction of its effect and never changed.

mod http;
mod queries;
mod types;

pub(super) use http::routes;
pub(super) use queries::insert as record;
pub(super) use types::{AdminAction, AdminEvent, AdminSubject};
