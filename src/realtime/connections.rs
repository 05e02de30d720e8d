//! The sockets of each user of this process, and when a user comes online and goes offline.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use socketioxide::SocketError;
use socketioxide::extract::SocketRef;
use socketioxide::socket::Sid;
use tokio::time::Instant;
use uuid::Uuid;

use super::emit::{EncodedEvent, emit};
use super::lock;
use super::refusal::ErrorEvent;
use super::session::{Right, Session};
use crate::types::UserId;

/// How long a socket may take from asking whether it may connect to being connected.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a user without a socket still counts as online: a reconnect is no absence.
const OFFLINE_AFTER: Duration = Duration::from_secs(3);

/// The connected users. Cheap to clone.
#[derive(Clone, Default)]
pub struct Connections(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    users: HashMap<UserId, UserSockets>,
    /// Sockets that could not be disconnected yet, because their buffer was full.
    closing: Vec<SocketRef>,
    /// Users whose sockets were closed a moment ago, when and why: a socket admitted before may connect only now.
    closed: HashMap<UserId, (Instant, CloseReason)>,
}

#[derive(Default)]
struct UserSockets {
    sockets: HashMap<Sid, (SocketRef, Arc<Session>)>,
    /// When the last socket went away.
    left: Option<(Instant, DateTime<Utc>)>,
    /// Whether others know that the user is online.
    is_announced: bool,
}

/// A user came online, or went offline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresenceChange {
    pub user_id: UserId,
    /// When the user was last seen; `None` while online.
    pub last_seen: Option<DateTime<Utc>>,
}

/// The reason why the server closes a socket: the last event that its client receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The access token has expired.
    Expired,
    /// The user has logged out, or the login was revoked.
    LoggedOut,
    /// The account is banned or gone.
    Banned,
    /// Far too many events.
    Flood,
}

impl CloseReason {
    /// The `error` event that precedes the disconnect.
    fn event(self) -> ErrorEvent {
        let (code, message) = match self {
            Self::Expired => ("token_expired", "the access token has expired: connect again with a new one"),
            Self::LoggedOut => ("logged_out", "this login has ended: connect again with a new access token"),
            Self::Banned => ("banned", "this account cannot be used any more"),
            Self::Flood => ("overloaded", "far too many events"),
        };
        ErrorEvent { message: message.into(), code, event: "disconnect".into() }
    }
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connections")
    }
}

impl Connections {
    /// A socket has connected.
    pub fn add(&self, socket: SocketRef, session: Arc<Session>) {
        let mut inner = lock(&self.0);
        if let Some(&(at, why)) = inner.closed.get(&session.user_id)
            && at >= session.began
        {
            drop(inner);
            self.close_socket(why, &socket, &session);
            return;
        }
        let user = inner.users.entry(session.user_id).or_default();
        user.left = None;
        user.sockets.insert(socket.id, (socket, session));
    }

    /// A socket has gone.
    pub fn remove(&self, socket: Sid, user: UserId) {
        let mut inner = lock(&self.0);
        let Some(user) = inner.users.get_mut(&user) else { return };
        if user.sockets.remove(&socket).is_some() && user.sockets.is_empty() {
            user.left = Some((Instant::now(), Utc::now()));
        }
    }

    /// Whether this user is online.
    #[must_use]
    pub fn is_online(&self, user: UserId) -> bool {
        lock(&self.0).users.contains_key(&user)
    }

    /// The users who have a socket now.
    #[must_use]
    pub fn connected_users(&self) -> Vec<UserId> {
        let inner = lock(&self.0);
        inner.users.iter().filter(|(_, user)| !user.sockets.is_empty()).map(|(id, _)| *id).collect()
    }

    /// Whether this user has a socket now.
    #[must_use]
    pub fn is_connected(&self, user: UserId) -> bool {
        lock(&self.0).users.get(&user).is_some_and(|user| !user.sockets.is_empty())
    }

    /// Emits to every socket of a user. One whose buffer is full misses it.
    pub fn emit(&self, user: UserId, event: &EncodedEvent) {
        let inner = lock(&self.0);
        for (socket, session) in inner.users.get(&user).into_iter().flat_map(|user| user.sockets.values()) {
            if !session.has_ended() {
                emit(socket, event);
            }
        }
    }

    /// Closes every socket of a user.
    pub fn close_user(&self, user: UserId, why: CloseReason) {
        lock(&self.0).closed.insert(user, (Instant::now(), why));
        self.close_where(why, |session| session.user_id == user);
    }

    /// Closes the sockets that are picked. JavaScript clients do not reconnect by themselves after this, and must not:
    /// they need another token.
    pub fn close_where(&self, why: CloseReason, is_picked: impl Fn(&Session) -> bool) {
        let inner = lock(&self.0);
        let sockets = inner.users.values().flat_map(|user| user.sockets.values());
        let picked: Vec<_> = sockets.filter(|(_, session)| is_picked(session)).cloned().collect();
        drop(inner);
        for (socket, session) in &picked {
            self.close_socket(why, socket, session);
        }
    }

    /// Closes one socket.
    pub fn close_socket(&self, why: CloseReason, socket: &SocketRef, session: &Session) {
        if !session.has_ended() {
            session.end();
            emit(socket, &EncodedEvent::new(&why.event()));
            self.disconnect(vec![socket.clone()]);
        }
    }

    /// Closes the sockets whose token has expired, and retries those that could not be disconnected so far.
    pub fn close_expired(&self, now: DateTime<Utc>) {
        self.close_where(
            CloseReason::Expired,
            |session| matches!(session.right(), Right { login: None, ends_at } if ends_at <= now),
        );
        let mut inner = lock(&self.0);
        inner.closed.retain(|_, (at, _)| at.elapsed() < ADMISSION_TIMEOUT);
        let closing = std::mem::take(&mut inner.closing);
        drop(inner);
        self.disconnect(closing);
    }

    /// The sockets that live by a token which expires before `until`, or by a login that may have ended by then.
    #[must_use]
    pub fn ending(&self, until: DateTime<Utc>) -> Vec<(SocketRef, Arc<Session>)> {
        let inner = lock(&self.0);
        let sockets = inner.users.values().flat_map(|user| user.sockets.values());
        sockets.filter(|(_, session)| !session.has_ended() && session.right().ends_at <= until).cloned().collect()
    }

    fn disconnect(&self, sockets: Vec<SocketRef>) {
        // Not under the lock: it calls handlers.
        let full = sockets.into_iter().filter(|socket| {
            socket.connected() && matches!(socket.clone().disconnect(), Err(SocketError::InternalChannelFull))
        });
        let full: Vec<_> = full.collect();
        if !full.is_empty() {
            lock(&self.0).closing.extend(full);
        }
    }

    /// Returns who has come online, or gone offline for good, since the last call.
    #[must_use]
    pub fn take_presence_changes(&self) -> Vec<PresenceChange> {
        let now = Instant::now();
        let mut changes = Vec::new();
        lock(&self.0).users.retain(|&user_id, user| match user.left {
            Some((left, last_seen)) if now - left >= OFFLINE_AFTER => {
                if user.is_announced {
                    changes.push(PresenceChange { user_id, last_seen: Some(last_seen) });
                }
                false
            }
            Some(_) => true,
            None => {
                if !std::mem::replace(&mut user.is_announced, true) {
                    changes.push(PresenceChange { user_id, last_seen: None });
                }
                true
            }
        });
        changes
    }

    /// The users and logins of all sockets, to be checked against the database.
    #[must_use]
    pub fn logins(&self) -> Vec<(UserId, Option<Uuid>)> {
        let inner = lock(&self.0);
        let mut logins: Vec<_> = inner
            .users
            .values()
            .flat_map(|user| user.sockets.values())
            .map(|(_, session)| (session.user_id, session.right().login))
            .collect();
        logins.sort_unstable();
        logins.dedup();
        logins
    }
}
