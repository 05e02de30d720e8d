//! Who may connect, and what a new connection can do.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use socketioxide::SocketIo;
use socketioxide::extract::{Event, SocketRef, State, TryData};
use socketioxide::handler::ConnectHandler as _;
use tokio::time::Instant;

use super::reply::{Refusal, Reply};
use super::{CONNECT_TIMEOUT, NAMESPACE, SocketState, rooms};
use crate::auth::{UserId, caller};
use crate::chat;

/// How long to wait before the database is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Who a socket belongs to.
#[derive(Debug, Clone, Copy)]
pub struct SocketUser {
    /// The user.
    pub id: UserId,
}

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
    if !is_allowed_in(&state, claims.sub).await {
        return Err(Refused("unauthorized: this account cannot be used any more"));
    }
    let user = SocketUser { id: claims.sub };
    socket.extensions.insert(user);
    socket.join(rooms::user(user.id));
    chat::socket::listen(&socket);
    socket.on_fallback(async |Event(event): Event, reply: Reply| reply.refuse(&event, &Refusal::UnknownEvent));
    Ok(())
}

/// Is the account good? While the database cannot say, asks again: clients do not come back by themselves
/// after a refusal, but they do when the connection is closed, which the connect time-out does.
async fn is_allowed_in(state: &SocketState, user: UserId) -> bool {
    let deadline = Instant::now() + 2 * CONNECT_TIMEOUT;
    loop {
        match state.reading(chat::socket::is_allowed_in(&state.direct, user)).await {
            Ok(allowed) => return allowed,
            Err(error) if Instant::now() < deadline => {
                tracing::warn!(%error, "an account could not be checked: asking again");
                tokio::time::sleep(ASK_AGAIN_AFTER).await;
            }
            Err(_) => return false,
        }
    }
}

async fn connected(socket: SocketRef) {
    if let Some(user) = socket.extensions.get::<SocketUser>() {
        let welcome = serde_json::json!({"message": "Connected to chat", "userId": user.id});
        if let Err(error) = socket.emit("connected", &welcome) {
            tracing::debug!(%error, "the welcome was not delivered");
        }
    }
}
