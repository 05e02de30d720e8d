//! Providers of everybody: the list, one provider, bans.

mod http;
mod queries;

pub(super) use http::routes;
