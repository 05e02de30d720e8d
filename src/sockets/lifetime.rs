//! How long sockets live. One whose token names a login lives as long as the login, any other until its token expires or
//! the client sends a new one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use socketioxide::extract::SocketRef;
use socketioxide::socket::Sid;
use utoipa::ToSchema;

use super::handshake;
use crate::auth::live;
use crate::realtime::{ClientEvent, CloseReason, EncodedEvent, Refusal, Reply, Right, ServerEvent, Session, emit};
use crate::state::SocketState;
use crate::supervision::Task;
use crate::types::Timestamp;

/// How long before the end of its token a client is notified.
const NOTICE: chrono::Duration = chrono::Duration::seconds(120);

/// `authenticate`
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Authenticate {
    /// A new access token of the same user.
    #[schema(value_type = String)]
    token: SecretString,
}

impl ClientEvent for Authenticate {
    const NAME: &'static str = "authenticate";
    type Ack = Authenticated;
}

/// The acknowledgement of `authenticate`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Authenticated {
    /// When the socket will be closed, unless its login is refreshed or it authenticates again.
    expires_at: Timestamp,
}

/// `token_expiring`
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenExpiring {
    /// When the socket will be closed unless it authenticates again.
    expires_at: Timestamp,
}

impl ServerEvent for TokenExpiring {
    const NAME: &'static str = "token_expiring";
}

/// Lets a socket live by a new token.
pub(super) async fn authenticate(reply: Reply, event: Authenticate, state: SocketState) {
    let renewed = match handshake::check(&state, event.token.expose_secret()).await {
        Ok((user, right)) if user == reply.session().user_id => {
            reply.session().renew(right);
            Ok(Authenticated { expires_at: right.ends_at.into() })
        }
        Ok(_) => Err(Refusal::Conflict("unauthorized", "the access token is another user's".into())),
        Err(refused) => Err(Refusal::Conflict("unauthorized", refused.to_string())),
    };
    reply.answer(Authenticate::NAME, renewed);
}

/// Notifies and closes sockets whose time is up.
pub(super) async fn watch(state: SocketState, task: Arc<Task>) -> anyhow::Result<()> {
    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    let mut notified = HashMap::new();
    loop {
        every_second.tick().await;
        let now = Utc::now();
        state.connections.close_expired(now);
        let ending = state.connections.ending(now + NOTICE);
        let ids: HashSet<_> = ending.iter().map(|(socket, _)| socket.id).collect();
        notified.retain(|id, _| ids.contains(id));
        for (socket, session) in &ending {
            let right = session.right();
            match right.login {
                None => notify(&mut notified, socket, right.ends_at),
                Some(_) if right.ends_at <= now => extend(&state, socket, session).await,
                Some(_) => {}
            }
        }
        task.works();
    }
}

/// Notifies a client of the end of its token, once.
fn notify(notified: &mut HashMap<Sid, DateTime<Utc>>, socket: &SocketRef, ends_at: DateTime<Utc>) {
    if notified.insert(socket.id, ends_at) != Some(ends_at) {
        emit(socket, &EncodedEvent::new(&TokenExpiring { expires_at: ends_at.into() }));
    }
}

/// Lets a socket live on if its login was refreshed; closes it otherwise.
async fn extend(state: &SocketState, socket: &SocketRef, session: &Session) {
    let right = session.right();
    let find = async |direct: &doors::Direct| live::find_live(direct, session.user_id, right.login).await;
    match state.bulkhead.run(find).await {
        Ok(Some(login)) => session.renew(Right { ends_at: login.ends_at.unwrap_or(right.ends_at), ..right }),
        Ok(None) => state.connections.close_socket(CloseReason::Expired, socket, session),
        Err(error) => tracing::warn!(%error, "a login could not be checked: trying again"),
    }
}
