//! Registration, login, and the identity of callers.
//!
//! Invariants: passwords are stored as Argon2id hashes only, and refresh tokens as digests only. The reuse of a
//! replaced token revokes its whole family. A token is as good as its login: every request checks that it lives. LSMs and admins cannot register themselves.

pub mod caller;
mod http;
pub mod live;
pub mod password;
mod queries;
pub mod token;

pub use caller::{Caller, Customer, Lsm, Provider};
pub use http::routes;
pub use live::LiveLogins;
pub use password::Passwords;
pub use token::{AccessTokens, RefreshTokenLifetime};
