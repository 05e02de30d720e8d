//! Login, and the identity of callers.
//!
//! Invariants: passwords are stored as Argon2id hashes only, and refresh tokens as digests only. The reuse of a
//! replaced token revokes its whole family. A token is as good as its login: every request checks that it lives.

pub mod caller;
pub mod code_key;
mod http;
pub mod live;
pub mod password;
pub(crate) mod queries;
pub mod token;

pub use caller::{Admin, Caller, Customer, Lsm, Provider};
pub use code_key::CodeKey;
pub use http::routes;
pub(crate) use http::{SessionView, UserView, open_login};
pub use live::LiveLogins;
pub use password::Passwords;
pub use token::{AccessTokens, RefreshTokenLifetime};
