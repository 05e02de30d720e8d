//! The handshake: admits connections.

use std::borrow::Cow;
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
use crate::auth::supabase::queries::{self as supabase, Account};
use crate::auth::supabase::{Person, Project, SignInError};
use crate::auth::{caller, live};
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
pub(super) struct Refused(Cow<'static, str>);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Refused {
    const fn new(why: &'static str) -> Self {
        Self(Cow::Borrowed(why))
    }
}

const INVALID: Refused = Refused::new("unauthorized: the access token is invalid or has expired");
const BARRED: Refused = Refused::new("unauthorized: this account cannot be used any more");
const TOO_MANY: Refused = Refused::new("overloaded: too many events");

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
    let token = token.ok_or(Refused::new(
        "unauthorized: an access token is required, as auth.token or in the Authorization header",
    ))?;
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
    if let Some(project) = state.supabase.issuer_of(token) {
        return check_supabase(state, project, token).await;
    }
    let claims = state.access_tokens.verify_within(token, state.token_grace).ok_or(INVALID)?;
    if state.limits.count(claims.sub) != Verdict::Allowed {
        return Err(TOO_MANY);
    }
    let (user, login) = (claims.sub, claims.sid);
    let find = || state.bulkhead.run(async move |direct| live::find_live(direct, user, login).await);
    let login = until_it_answers(find).await.ok().flatten().ok_or(BARRED)?;
    Ok((claims.sub, Right { login: claims.sid, ends_at: login.ends_at.unwrap_or_else(|| moment(claims.exp)) }))
}

/// As [`check`], with a token of Supabase Auth: it has no login, so its session ends with it.
async fn check_supabase(state: &SocketState, project: &Project, token: &str) -> Result<(UserId, Right), Refused> {
    let person = project.verify(token).await.ok_or(INVALID)?;
    let account = account_of(state, project, &person, token).await;
    let account = account.and_then(|account| person.admit(account)).map_err(|error| match error {
        SignInError::Database(_) => BARRED,
        error => Refused(format!("unauthorized: {error}").into()),
    })?;
    if state.limits.count(account.id) != Verdict::Allowed {
        return Err(TOO_MANY);
    }
    Ok((account.id, Right { login: None, ends_at: moment(person.exp) }))
}

/// The account of a Supabase user. The first time, it is linked or made.
async fn account_of(
    state: &SocketState,
    project: &Project,
    person: &Person,
    token: &str,
) -> Result<Account, SignInError> {
    let auth_uid = person.auth_uid;
    let find = || state.bulkhead.run(async move |direct| supabase::find(direct, auth_uid).await);
    if let Some(account) = until_it_answers(find).await? {
        return Ok(account);
    }
    if person.email.is_none() {
        return Err(SignInError::NoEmail);
    }
    let has_verified_email = project.has_verified_email(person, token).await;
    let enter =
        || state.bulkhead.run(async move |direct| person.enter(direct.write().await?, has_verified_email).await);
    until_it_answers(enter).await?.ok_or(SignInError::EmailTaken)
}

/// A moment in seconds since 1970.
fn moment(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Tries again while the database does not answer: clients do not reconnect by themselves after a refusal, but they do when
/// the connection is closed, which the connect time-out does.
async fn until_it_answers<T, Asked>(ask: impl Fn() -> Asked) -> sqlx::Result<T>
where
    Asked: Future<Output = sqlx::Result<T>>,
{
    let deadline = Instant::now() + 2 * CONNECT_TIMEOUT;
    loop {
        match ask().await {
            Err(error) if Instant::now() < deadline => {
                tracing::warn!(%error, "an account could not be checked: trying again");
                tokio::time::sleep(RETRY_AFTER).await;
            }
            answer => return answer,
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
