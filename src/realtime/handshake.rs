//! Who may connect, and what a new connection can do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use socketioxide::SocketIo;
use socketioxide::extract::{Event, SocketRef, State, TryData};
use socketioxide::handler::ConnectHandler as _;
use socketioxide::socket::DisconnectReason;
use tokio::time::Instant;

use super::limits::Verdict;
use super::reply::{Refusal, Reply};
use super::session::Session;
use super::{CONNECT_TIMEOUT, Encoded, NAMESPACE, emit};
use crate::auth::{caller, token::Claims};
use crate::chat;
use crate::chat::events::Connected;
use crate::jobs::offers;
use crate::state::SocketState;

/// How long to wait before the database is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What a client sends to connect: `auth: {token}`.
#[derive(Debug, Default, Deserialize)]
struct Handshake {
    token: Option<String>,
}

/// Why a connection is refused: `message` of the client's `connect_error`, which begins with a stable word.
#[derive(Debug)]
struct Refused(&'static str);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Opens the namespace.
pub fn open_namespace(io: &SocketIo) {
    // Not an async closure: its body runs before the client's first event can.
    let connected = |socket: SocketRef, State(state): State<SocketState>| {
        connected(&socket, &state);
        std::future::ready(())
    };
    io.ns(NAMESPACE, connected.with(admit));
}

/// Checks the token and the account; makes the socket ready before the client learns that it is connected,
/// so that no event of its can come too early.
async fn admit(
    socket: SocketRef,
    State(state): State<SocketState>,
    TryData(handshake): TryData<Handshake>,
) -> Result<(), Refused> {
    let handshake = handshake.unwrap_or_default();
    let from_header = caller::bearer(&socket.req_parts().headers);
    let token = handshake.token.as_deref().map(|token| token.strip_prefix("Bearer ").unwrap_or(token)).or(from_header);
    let token = token
        .ok_or(Refused("unauthorized: an access token is required, as auth.token or in the Authorization header"))?;
    let claims =
        state.access_tokens.verify(token).ok_or(Refused("unauthorized: the access token is invalid or has expired"))?;
    if state.limits.count(claims.sub) != Verdict::Allowed {
        return Err(Refused("overloaded: too many events"));
    }
    let session = Session::new(&claims);
    if !is_allowed_in(&state, &claims).await {
        return Err(Refused("unauthorized: this account cannot be used any more"));
    }
    socket.extensions.insert(Arc::new(session));
    chat::socket::listen(&socket);
    offers::socket::listen(&socket);
    socket.on_fallback(|Event(event): Event, reply: Reply, State(state): State<SocketState>| {
        if let Some(reply) = state.hear(&event, reply) {
            reply.refuse(&event, &Refusal::UnknownEvent);
        }
        std::future::ready(())
    });
    socket.on_disconnect(async |socket: SocketRef, reason: DisconnectReason, State(state): State<SocketState>| {
        if let Some(session) = socket.extensions.get::<Arc<Session>>() {
            session.end();
            state.rooms.drop_out(socket.id, &session, reason);
            state.connections.remove(socket.id, session.user_id);
        }
    });
    Ok(())
}

/// Is the account good? While the database cannot say, asks again: clients do not come back by themselves
/// after a refusal, but they do when the connection is closed, which the connect time-out does.
async fn is_allowed_in(state: &SocketState, claims: &Claims) -> bool {
    let deadline = Instant::now() + 2 * CONNECT_TIMEOUT;
    loop {
        match state.readings.run(async |direct| chat::is_allowed_in(direct, claims.sub, claims.sid).await).await {
            Ok(allowed) => return allowed,
            Err(error) if Instant::now() < deadline => {
                tracing::warn!(%error, "an account could not be checked: asking again");
                tokio::time::sleep(ASK_AGAIN_AFTER).await;
            }
            Err(_) => return false,
        }
    }
}

fn connected(socket: &SocketRef, state: &SocketState) {
    let Some(session) = socket.extensions.get::<Arc<Session>>() else { return };
    let user_id = session.user_id;
    state.connections.add(socket.clone(), session.clone());
    emit(socket, "connected", &Encoded::new(&Connected { message: "Connected to chat", user_id }));
    if session.has_ended() {
        // It went away in between, before it could be found.
        state.connections.remove(socket.id, user_id);
    }
}
