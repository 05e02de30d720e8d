//! What handlers can reach. Of the two doors, REST's state holds only [`Pooler`], the sockets' only
//! [`Direct`](crate::db::Direct): a handler that uses the other one does not compile.
//!
//! ```compile_fail,E0308
//! use axum::extract::FromRef;
//! fn reach(state: &stm_backend::state::ApiState) -> stm_backend::db::Direct {
//!     stm_backend::db::Direct::from_ref(state)
//! }
//! ```
//!
//! ```compile_fail,E0609
//! fn reach(state: &stm_backend::state::SocketState) -> &stm_backend::db::Pooler {
//!     &state.pooler
//! }
//! ```

use std::sync::Arc;

use axum::extract::FromRef;

use crate::auth::{AccessTokens, Passwords, RefreshTokenLifetime};
use crate::chat::live::{ReadMarks, Rooms, Writer};
use crate::db::Pooler;
use crate::outbox::Notifier;
use crate::realtime::{Bulkhead, Connections, Limits};

/// The state of the REST routes.
#[derive(Debug, Clone, FromRef)]
pub struct ApiState {
    pub pooler: Pooler,
    pub access_tokens: Arc<AccessTokens>,
    pub refresh_token_lifetime: RefreshTokenLifetime,
    pub passwords: Passwords,
    pub connections: Connections,
    pub notifier: Notifier,
}

/// The state of the socket handlers.
#[derive(Debug, Clone)]
pub struct SocketState {
    pub bulkhead: Bulkhead,
    pub access_tokens: Arc<AccessTokens>,
    pub writer: Writer,
    pub read_marks: ReadMarks,
    pub rooms: Rooms,
    pub connections: Connections,
    pub limits: Limits,
    pub notifier: Notifier,
}
