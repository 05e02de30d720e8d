//! Services, and who offers them. Public.
//!
//! Invariant: only approved services and active providers are shown, and of a provider neither e-mail nor phone.

mod http;
mod queries;
mod types;

pub use http::routes;
pub use types::ServiceId;
