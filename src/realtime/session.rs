//! One connection of one user: who it is, what it may still do, and in which order.

use std::collections::{HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use uuid::Uuid;

use super::Encoded;
use super::reply::Refusal;
use crate::auth::token::Claims;
use crate::types::{ChatId, MessageId, UserId};

/// How many messages of one connection may wait for their acknowledgement.
const MAX_UNACKED: usize = 2500;

/// How many acknowledgements may wait for a place in the socket's buffer: those of all that it may send at once.
const MAX_LATE: usize = 2 * MAX_UNACKED;

/// How many of a connection's events may wait for their turn.
const MAX_WAITING: usize = 256;

/// How many chats a connection may be in.
const MAX_CHATS: usize = 1000;

/// A connection's own state. Dies with its socket.
pub struct Session {
    /// Who.
    pub user_id: UserId,
    /// The login it came from; none if the token names none.
    pub login: Option<Uuid>,
    /// When its token expires.
    pub expires_at: DateTime<Utc>,
    /// When it was asked for: what ends logins later than that ends this one.
    pub began: Instant,
    ended: AtomicBool,
    sending: Mutex<HashSet<MessageId>>,
    late: Mutex<Late>,
    chats: Mutex<HashSet<ChatId>>,
    turns: Mutex<Turns>,
}

#[derive(Default)]
struct Turns {
    waiting: VecDeque<BoxFuture<'static, ()>>,
    is_taken: bool,
}

/// Acknowledgements for which the socket's buffer had no place.
#[derive(Default)]
struct Late {
    waiting: VecDeque<(i64, Encoded)>,
    is_being_sent: bool,
}

/// A message on its way: from when it is heard until it is delivered, or refused.
pub struct Sending {
    session: Arc<Session>,
    message: MessageId,
}

impl Drop for Sending {
    fn drop(&mut self) {
        lock(&self.session.sending).remove(&self.message);
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

impl Session {
    /// The session that a token opens.
    #[must_use]
    pub fn new(claims: &Claims) -> Self {
        Self {
            user_id: claims.sub,
            login: claims.sid,
            expires_at: DateTime::from_timestamp(claims.exp, 0).unwrap_or(DateTime::<Utc>::MAX_UTC),
            began: Instant::now(),
            ended: AtomicBool::new(false),
            sending: Mutex::default(),
            late: Mutex::default(),
            chats: Mutex::default(),
            turns: Mutex::default(),
        }
    }

    /// From now on none of its events is heard.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    /// Is it over?
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Notes that a message of its own is on its way.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] if too many are.
    pub fn begin_sending(self: &Arc<Self>, message: MessageId) -> Result<Sending, Refusal> {
        let mut sending = lock(&self.sending);
        if sending.len() >= MAX_UNACKED {
            return Err(Refusal::Overloaded);
        }
        sending.insert(message);
        Ok(Sending { session: self.clone(), message })
    }

    /// Is this message of its own on its way?
    pub(super) fn is_sending(&self, message: MessageId) -> bool {
        lock(&self.sending).contains(&message)
    }

    /// Keeps an acknowledgement until there is a place for it. `true`: somebody must begin to send it.
    pub(super) fn keep_late(&self, ack_id: i64, payload: Encoded) -> bool {
        let mut late = lock(&self.late);
        if late.waiting.len() < MAX_LATE {
            late.waiting.push_back((ack_id, payload));
        }
        !std::mem::replace(&mut late.is_being_sent, true)
    }

    /// Must others wait before this one's turn?
    pub(super) fn has_late(&self) -> bool {
        lock(&self.late).is_being_sent
    }

    /// Sends what is late, as far as there is a place for it. `true`: nothing is left.
    pub(super) fn send_late(&self, mut send: impl FnMut(i64, &Encoded) -> bool) -> bool {
        let mut late = lock(&self.late);
        while let Some((ack_id, payload)) = late.waiting.front() {
            if !send(*ack_id, payload) {
                return false;
            }
            late.waiting.pop_front();
        }
        late.is_being_sent = false;
        true
    }

    /// May one more event wait for its turn?
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] if too many do.
    pub fn check_turns(&self) -> Result<(), Refusal> {
        if lock(&self.turns).waiting.len() < MAX_WAITING { Ok(()) } else { Err(Refusal::Overloaded) }
    }

    /// Runs `event` after the events before it: each is a task of its own, and tasks overtake each other. Call it
    /// where packets are read, and await what it gives in the event's own task.
    pub fn in_turn(self: &Arc<Self>, event: BoxFuture<'static, ()>) -> BoxFuture<'static, ()> {
        let mut turns = lock(&self.turns);
        turns.waiting.push_back(event);
        if std::mem::replace(&mut turns.is_taken, true) {
            return Box::pin(std::future::ready(()));
        }
        let session = self.clone();
        Box::pin(async move {
            while let Some(event) = session.next_turn() {
                if AssertUnwindSafe(event).catch_unwind().await.is_err() {
                    tracing::error!("a socket event panicked: it was not answered");
                }
            }
        })
    }

    fn next_turn(&self) -> Option<BoxFuture<'static, ()>> {
        let mut turns = lock(&self.turns);
        let next = turns.waiting.pop_front();
        turns.is_taken = next.is_some();
        next
    }

    /// Notes that it is in a chat.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] if it is in too many; [`Refusal::Forbidden`] if it is over: nobody would take it out again.
    pub(super) fn note_chat(&self, chat: ChatId) -> Result<(), Refusal> {
        let mut chats = lock(&self.chats);
        if self.has_ended() {
            return Err(Refusal::Forbidden);
        }
        if chats.len() >= MAX_CHATS && !chats.contains(&chat) {
            return Err(Refusal::Invalid(format!("a connection can be in at most {MAX_CHATS} chats: leave one first")));
        }
        chats.insert(chat);
        Ok(())
    }

    /// Notes that it has left a chat.
    pub(super) fn forget_chat(&self, chat: ChatId) {
        lock(&self.chats).remove(&chat);
    }

    /// The chats it is in, forgotten.
    pub(super) fn take_chats(&self) -> HashSet<ChatId> {
        std::mem::take(&mut lock(&self.chats))
    }
}

/// A mutex whose holder panicked still guards whole values: each change here is one assignment.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
