//! Pictures of what is to be done, uploaded before the booking that shows them.

mod http;

pub(super) use http::routes;
