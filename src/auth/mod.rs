//! Registration, login, and who is calling.
//!
//! Invariants: a password exists only as its Argon2id hash; a refresh token only as its digest, in a family
//! that dies whole when a replaced token comes back; nobody registers as LSM or admin.

pub mod caller;
mod http;
pub mod password;
mod queries;
pub mod token;

pub use caller::{Caller, Customer, Lsm, Provider};
pub use http::routes;
pub use password::Passwords;
pub use token::{AccessTokens, RefreshTokenLifetime};
