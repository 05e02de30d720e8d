//! What REST handlers can reach. Of the two doors only [`Pooler`]: a handler that wants the sockets' does
//! not compile.
//!
//! ```compile_fail,E0308
//! use axum::extract::FromRef;
//! fn reach(state: &stm_backend::web::state::ApiState) -> stm_backend::db::Direct {
//!     stm_backend::db::Direct::from_ref(state)
//! }
//! ```

use std::sync::Arc;

use axum::extract::FromRef;

use crate::auth::{AccessTokens, Passwords};
use crate::db::Pooler;
use crate::notifications::Notifier;
use crate::realtime::connections::Connections;

/// The state of the REST routes.
#[derive(Debug, Clone, FromRef)]
pub struct ApiState {
    /// The database.
    pub pooler: Pooler,
    /// Makes and checks access tokens.
    pub access_tokens: Arc<AccessTokens>,
    /// Lifetime of refresh tokens.
    pub refresh_token_lifetime: RefreshTokenLifetime,
    /// Hashes and verifies passwords.
    pub passwords: Passwords,
    /// Who is connected to the chat.
    pub connections: Connections,
    /// Tells users what happened, after the commit.
    pub notifier: Notifier,
}

/// How long a refresh token may be used.
#[derive(Debug, Clone, Copy)]
pub struct RefreshTokenLifetime(pub chrono::Duration);
