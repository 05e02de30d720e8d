//! A provider's public page, which shows neither e-mail address nor phone number.

mod http;
mod queries;

pub(super) use http::routes;
