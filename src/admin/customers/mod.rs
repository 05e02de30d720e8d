//! Customers of everybody: the list, one customer, bans.

mod http;
mod queries;

pub(super) use http::routes;
