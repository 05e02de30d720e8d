//! The state of the handlers. Of the two doors, REST's state holds only [`Pooler`], the sockets' only
//! [`Direct`](doors::Direct): a handler that uses the other one does not compile.
//!
//! ```compile_fail,E0308
//! use axum::extract::FromRef;
//! fn reach(state: &stm_backend::state::ApiState) -> doors::Direct {
//!     doors::Direct::from_ref(state)
//! }
//! ```
//!
//! ```compile_fail,E0609
//! fn reach(state: &stm_backend::state::SocketState) -> &doors::Pooler {
//!     &state.pooler
//! }
//! ```

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;

use crate::auth::{AccessTokens, Attempts, CodeKey, LiveLogins, Passwords, RefreshTokenLifetime, Supabase};
use crate::chat::live::{ReadMarks, Rooms, Writer};
use crate::files::{FileUrls, Files};
use crate::limits::Limits;
use crate::outbox::Notifier;
use crate::payments::Stripe;
use crate::realtime::{self, Bulkhead, Connections};
use doors::Pooler;

/// The state of the REST routes.
#[derive(Debug, Clone, FromRef)]
pub struct ApiState {
    pub pooler: Pooler,
    pub access_tokens: Arc<AccessTokens>,
    pub live_logins: LiveLogins,
    pub supabase: Supabase,
    pub refresh_token_lifetime: RefreshTokenLifetime,
    pub passwords: Passwords,
    pub code_key: CodeKey,
    pub files: Files,
    pub file_urls: FileUrls,
    pub attempts: Attempts,
    pub limits: Limits,
    pub connections: Connections,
    pub notifier: Notifier,
    /// `None` without `STRIPE_SECRET_KEY`.
    pub stripe: Option<Stripe>,
}

/// The state of the socket handlers.
#[derive(Debug, Clone)]
pub struct SocketState {
    pub bulkhead: Bulkhead,
    pub access_tokens: Arc<AccessTokens>,
    pub live_logins: LiveLogins,
    pub supabase: Supabase,
    /// How long after its expiry a token of a live login still opens a socket.
    pub token_grace: Duration,
    pub file_urls: FileUrls,
    pub writer: Writer,
    pub read_marks: ReadMarks,
    pub rooms: Rooms,
    pub connections: Connections,
    pub limits: realtime::Limits,
    pub notifier: Notifier,
}
