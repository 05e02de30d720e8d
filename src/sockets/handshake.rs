//! The handshake: admits connections.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::extract::{SocketRef, State, TryData};
use socketioxide::handler::ConnectHandler as _;
use socketioxide::socket::DisconnectReason;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::waiting::Place;
use super::{CONNECT_TIMEOUT, NAMESPACE, events};
use crate::auth::live::{self, LiveLogin};
use crate::auth::{caller, token::Claims};
use crate::chat::live::ChatSession;
use crate::realtime::{EncodedEvent, Right, ServerEvent, Session, Verdict, emit};
use crate::state::SocketState;
use crate::types::UserId;
use crate::web::extract::read_object;

/// How long after a failed check of an account it is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The payload of a client that connects: `auth: {token}`.
#[derive(Debug, Default, Deserialize)]
struct Handshake {
    token: Option<String>,
}

/// `connected`
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Connected {
    pub message: &'static str,
    /// The token's user.
    pub user_id: UserId,
}

impl ServerEvent for Connected {
    const NAME: &'static str = "connected";
}

/// The reason of a refused connection: `message` of the client's `connect_error`, which begins with a stable word.
#[derive(Debug)]
pub(super) struct Refused(&'static str);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Opens the namespace.
pub(super) fn open_namespace(io: &SocketIo) {
    // Not an async closure: its body runs before the client's first event can.
    let connected = |socket: SocketRef, State(state): State<SocketState>| {
        connected(&socket, &state);
        std::future::ready(())
    };
    io.ns(NAMESPACE, connected.with(admit));
}

/// Checks the token and the account, and prepares the socket before the client is connected: none of its events comes too
/// early.
async fn admit(
    socket: SocketRef,
    State(state): State<SocketState>,
    TryData(payload): TryData<Value>,
) -> Result<(), Refused> {
    let handshake = payload.ok().and_then(|payload| read_object::<Handshake>("auth", payload).ok()).unwrap_or_default();
    let from_header = caller::bearer(&socket.req_parts().headers);
    let token = handshake.token.as_deref().map(|token| caller::without_scheme(token).unwrap_or(token)).or(from_header);
    let token = token
        .ok_or(Refused("unauthorized: an access token is required, as auth.token or in the Authorization header"))?;
    let began = Instant::now();
    let (user_id, right) = check(&state, token).await?;
    let session = Arc::new(Session::new(user_id, right, began));
    socket.extensions.insert(Arc::new(ChatSession::new(session.clone())));
    socket.extensions.insert(session);
    events::listen(&socket);
    socket.on_disconnect(async |socket: SocketRef, reason: DisconnectReason, State(state): State<SocketState>| {
        disconnected(&socket, reason, &state);
    });
    Ok(())
}

/// Checks a token and its login. Returns its user, and what a session with it lives by.
pub(super) async fn check(state: &SocketState, token: &str) -> Result<(UserId, Right), Refused> {
    let claims = state
        .access_tokens
        .verify_within(token, state.token_grace)
        .ok_or(Refused("unauthorized: the access token is invalid or has expired"))?;
    if state.limits.count(claims.sub) != Verdict::Allowed {
        return Err(Refused("overloaded: too many events"));
    }
    let login = find_live(state, &claims).await.ok_or(Refused("unauthorized: this account cannot be used any more"))?;
    let expires_at = DateTime::from_timestamp(claims.exp, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
    Ok((claims.sub, Right { login: claims.sid, ends_at: login.ends_at.unwrap_or(expires_at) }))
}

/// Finds the token's login if it may connect. Tries again while the database does not answer: clients do not reconnect by
/// themselves after a refusal, but they do when the connection is closed, which the connect time-out does.
async fn find_live(state: &SocketState, claims: &Claims) -> Option<LiveLogin> {
    let deadline = Instant::now() + 2 * CONNECT_TIMEOUT;
    loop {
        match state.bulkhead.run(async |direct| live::find_live(direct, claims.sub, claims.sid).await).await {
            Ok(found) => return found,
            Err(error) if Instant::now() < deadline => {
                tracing::warn!(%error, "an account could not be checked: trying again");
                tokio::time::sleep(RETRY_AFTER).await;
            }
            Err(_) => return None,
        }
    }
}

fn connected(socket: &SocketRef, state: &SocketState) {
    let Some(session) = socket.extensions.get::<Arc<Session>>() else { return };
    let user_id = session.user_id;
    if let Some(place) = socket.req_parts().extensions.get::<Arc<Place>>() {
        place.leave();
    }
    state.connections.add(socket.clone(), session.clone());
    emit(socket, &EncodedEvent::new(&Connected { message: "Connected to chat", user_id }));
    if session.has_ended() {
        // It went away in between, before it could be found.
        state.connections.remove(socket.id, user_id);
    }
}

fn disconnected(socket: &SocketRef, reason: DisconnectReason, state: &SocketState) {
    let Some(session) = socket.extensions.get::<Arc<Session>>() else { return };
    session.end();
    if let Ok(chat_session) = ChatSession::of(socket) {
        state.rooms.disconnected(socket.id, &chat_session, reason);
    }
    state.connections.remove(socket.id, session.user_id);
}
