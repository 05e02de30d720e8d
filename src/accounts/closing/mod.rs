//! Closing an account. Personal data is erased or replaced; jobs, messages, payments and reviews stay, under
//! "Deleted user".

mod http;
mod queries;

pub(super) use http::routes;
