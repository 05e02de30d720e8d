//! Who is connected to this process: the sockets of each user, and when a user comes online and goes offline.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use socketioxide::SocketError;
use socketioxide::extract::SocketRef;
use socketioxide::socket::Sid;
use tokio::time::Instant;
use uuid::Uuid;

use super::reply::ErrorEvent;
use super::session::{Session, lock};
use super::{Encoded, emit};
use crate::types::UserId;

/// How long a socket may take from asking whether it may connect to being connected.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a user without a socket still counts as online: reconnecting is not going away.
const OFFLINE_AFTER: Duration = Duration::from_secs(3);

/// The connected users. Cheap to clone; holds no connection to a database.
#[derive(Clone, Default)]
pub struct Connections(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    users: HashMap<UserId, Presence>,
    /// Sockets whose buffer was too full to be told that they are disconnected.
    ending: Vec<SocketRef>,
    /// Whose sockets were ended a moment ago, when and why: some may have been admitted before, and come only now.
    ended: HashMap<UserId, (Instant, End)>,
}

#[derive(Default)]
struct Presence {
    sockets: HashMap<Sid, (SocketRef, Arc<Session>)>,
    /// When the last socket went away.
    left: Option<(Instant, DateTime<Utc>)>,
    /// Have others been told that the user is online?
    is_told: bool,
}

/// A user came online, or went offline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Who.
    pub user_id: UserId,
    /// When the user was last seen; `None` while online.
    pub last_seen: Option<DateTime<Utc>>,
}

/// Why sockets are closed by the server: the last thing that they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The access token has expired.
    Expired,
    /// The user has logged out, or the login was revoked.
    LoggedOut,
    /// The account is banned or gone.
    Banned,
    /// Far too many events.
    Flood,
}

impl End {
    /// The `error` event that precedes it.
    fn view(self) -> ErrorEvent {
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
        if let Some(&(at, why)) = inner.ended.get(&session.user_id)
            && at >= session.began
        {
            drop(inner);
            self.end_one(why, &socket, &session);
            return;
        }
        let presence = inner.users.entry(session.user_id).or_default();
        presence.left = None;
        presence.sockets.insert(socket.id, (socket, session));
    }

    /// A socket has gone.
    pub fn remove(&self, socket: Sid, user: UserId) {
        let mut inner = lock(&self.0);
        let Some(presence) = inner.users.get_mut(&user) else { return };
        if presence.sockets.remove(&socket).is_some() && presence.sockets.is_empty() {
            presence.left = Some((Instant::now(), Utc::now()));
        }
    }

    /// Is this user online?
    #[must_use]
    pub fn is_online(&self, user: UserId) -> bool {
        lock(&self.0).users.contains_key(&user)
    }

    /// Users who have a socket now.
    #[must_use]
    pub fn connected_users(&self) -> Vec<UserId> {
        let inner = lock(&self.0);
        inner.users.iter().filter(|(_, presence)| !presence.sockets.is_empty()).map(|(user, _)| *user).collect()
    }

    /// Has this user a socket now?
    #[must_use]
    pub fn is_connected(&self, user: UserId) -> bool {
        lock(&self.0).users.get(&user).is_some_and(|presence| !presence.sockets.is_empty())
    }

    /// Emits to every socket of a user. One whose buffer is full misses it.
    pub fn tell(&self, user: UserId, event: &str, payload: &Encoded) {
        let inner = lock(&self.0);
        for (socket, session) in inner.users.get(&user).into_iter().flat_map(|presence| presence.sockets.values()) {
            if !session.has_ended() {
                emit(socket, event, payload);
            }
        }
    }

    /// Closes every socket of a user.
    pub fn end(&self, user: UserId, why: End) {
        lock(&self.0).ended.insert(user, (Instant::now(), why));
        self.end_where(why, |session| session.user_id == user);
    }

    /// Closes the sockets that are picked. JavaScript clients do not come back by themselves from this, and must
    /// not: they need another token.
    pub fn end_where(&self, why: End, is_picked: impl Fn(&Session) -> bool) {
        let inner = lock(&self.0);
        let sockets = inner.users.values().flat_map(|presence| presence.sockets.values());
        let picked: Vec<_> = sockets.filter(|(_, session)| is_picked(session)).cloned().collect();
        drop(inner);
        for (socket, session) in &picked {
            self.end_one(why, socket, session);
        }
    }

    /// Closes one socket.
    pub fn end_one(&self, why: End, socket: &SocketRef, session: &Session) {
        if !session.has_ended() {
            session.end();
            emit(socket, "error", &Encoded::new(&why.view()));
            self.disconnect(vec![socket.clone()]);
        }
    }

    /// Closes the sockets whose token has expired, and tries again with those that could not be told so far.
    pub fn end_expired(&self, now: DateTime<Utc>) {
        self.end_where(End::Expired, |session| session.expires_at <= now);
        let mut inner = lock(&self.0);
        inner.ended.retain(|_, (at, _)| at.elapsed() < ADMISSION_TIMEOUT);
        let ending = std::mem::take(&mut inner.ending);
        drop(inner);
        self.disconnect(ending);
    }

    fn disconnect(&self, sockets: Vec<SocketRef>) {
        // Not under the lock: it calls handlers.
        let full = sockets.into_iter().filter(|socket| {
            socket.connected() && matches!(socket.clone().disconnect(), Err(SocketError::InternalChannelFull))
        });
        let full: Vec<_> = full.collect();
        if !full.is_empty() {
            lock(&self.0).ending.extend(full);
        }
    }

    /// Who has come online, or gone offline for good, since the last call.
    #[must_use]
    pub fn take_turns(&self) -> Vec<Turn> {
        let now = Instant::now();
        let mut turns = Vec::new();
        lock(&self.0).users.retain(|&user_id, presence| match presence.left {
            Some((left, last_seen)) if now - left >= OFFLINE_AFTER => {
                if presence.is_told {
                    turns.push(Turn { user_id, last_seen: Some(last_seen) });
                }
                false
            }
            Some(_) => true,
            None => {
                if !std::mem::replace(&mut presence.is_told, true) {
                    turns.push(Turn { user_id, last_seen: None });
                }
                true
            }
        });
        turns
    }

    /// The users and logins of all sockets, to be checked against the database.
    #[must_use]
    pub fn logins(&self) -> Vec<(UserId, Option<Uuid>)> {
        let inner = lock(&self.0);
        let mut logins: Vec<_> = inner
            .users
            .values()
            .flat_map(|presence| presence.sockets.values())
            .map(|(_, session)| (session.user_id, session.login))
            .collect();
        logins.sort_unstable();
        logins.dedup();
        logins
    }
}
