//! Login, and the identity of callers.
//!
//! Invariants: passwords are stored as Argon2id hashes only, and refresh tokens as digests only. The reuse of a
//! replaced token revokes its whole family. A token is as good as its login: every request checks that it lives. An
//! account of Supabase Auth is looked up in every request.

pub(crate) mod attempts;
pub mod caller;
pub mod code_key;
mod floor;
mod http;
pub mod live;
mod logins;
pub mod password;
pub(crate) mod queries;
pub(crate) mod supabase;
pub mod token;

pub use attempts::Attempts;
pub(crate) use attempts::Origin;
pub use caller::{Admin, Caller, Customer, Lsm, Provider};
pub use code_key::CodeKey;
pub(crate) use floor::{FLOOR, no_earlier};
pub use http::routes;
pub(crate) use http::{SessionView, UserView};
pub use live::LiveLogins;
pub(crate) use logins::Logins;
pub use password::Passwords;
pub use supabase::Supabase;
pub use token::{AccessTokens, RefreshTokenLifetime};
