//! What handlers can reach. Of the two doors REST's state holds only [`Pooler`], the sockets' only
//! [`Direct`](doors::Direct): a handler that wants the other one does not compile.
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

use axum::extract::FromRef;

use crate::auth::{AccessTokens, Passwords, RefreshTokenLifetime};
use crate::notifications::Notifier;
use crate::realtime::connections::Connections;
use crate::realtime::limits::Limits;
use crate::realtime::readings::Readings;
use crate::realtime::reads::Reads;
use crate::realtime::rooms::Rooms;
use crate::realtime::writer::Writer;
use doors::Pooler;

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

/// What socket handlers can reach.
#[derive(Debug, Clone)]
pub struct SocketState {
    /// The database, in turns.
    pub readings: Readings,
    /// Checks access tokens.
    pub access_tokens: Arc<AccessTokens>,
    /// Stores and delivers messages.
    pub writer: Writer,
    /// Stores read marks.
    pub reads: Reads,
    /// The chats of this process.
    pub rooms: Rooms,
    /// The connected users.
    pub connections: Connections,
    /// How much each user may ask for.
    pub limits: Limits,
    /// Tells what was committed.
    pub notifier: Notifier,
}
