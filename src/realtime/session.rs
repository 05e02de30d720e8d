//! One connection of one user: who it is, until when, and its acknowledgements that still wait.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use tokio::time::Instant;
use uuid::Uuid;

use super::lock;
use crate::types::UserId;

/// How many acknowledgements may wait for a place in the socket's buffer: twice what it may have sent at once.
const MAX_PENDING_ACKS: usize = 5000;

/// The engine's state of a connection. Dies with its socket.
pub struct Session {
    pub user_id: UserId,
    /// When the client asked for it: whatever ends logins later than that ends this one.
    pub began: Instant,
    right: Mutex<Right>,
    ended: AtomicBool,
    pending_acks: Mutex<PendingAcks>,
}

/// What a session lives by: its login, or a token that names none.
#[derive(Debug, Clone, Copy)]
pub struct Right {
    /// The login that it came from; `None` if the token names none.
    pub login: Option<Uuid>,
    /// When the login ends unless it is refreshed, or else when the token expires.
    pub ends_at: DateTime<Utc>,
}

/// Acknowledgements for which the socket's buffer had no place.
#[derive(Default)]
struct PendingAcks {
    waiting: VecDeque<(i64, Box<RawValue>)>,
    is_being_sent: bool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

impl Session {
    /// A session of a user that `began` when the client asked for it.
    #[must_use]
    pub fn new(user_id: UserId, right: Right, began: Instant) -> Self {
        Self { user_id, began, right: Mutex::new(right), ended: AtomicBool::new(false), pending_acks: Mutex::default() }
    }

    /// What the session lives by now.
    #[must_use]
    pub fn right(&self) -> Right {
        *lock(&self.right)
    }

    /// Lets the session live by another token, or on until its refreshed login ends.
    pub fn renew(&self, right: Right) {
        *lock(&self.right) = right;
    }

    /// Ends the session: none of its events is handled from now on.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Keeps an acknowledgement until there is a place for it. Returns whether the caller must begin to send.
    pub(super) fn keep_ack(&self, ack_id: i64, payload: Box<RawValue>) -> bool {
        let mut pending = lock(&self.pending_acks);
        if pending.waiting.len() < MAX_PENDING_ACKS {
            pending.waiting.push_back((ack_id, payload));
        }
        !std::mem::replace(&mut pending.is_being_sent, true)
    }

    /// Whether a new acknowledgement has to wait behind others.
    pub(super) fn has_pending_acks(&self) -> bool {
        lock(&self.pending_acks).is_being_sent
    }

    /// Sends the pending acknowledgements as far as there is a place for them. Returns whether none is left.
    pub(super) fn send_pending_acks(&self, mut send: impl FnMut(i64, &RawValue) -> bool) -> bool {
        let mut pending = lock(&self.pending_acks);
        while let Some((ack_id, payload)) = pending.waiting.front() {
            if !send(*ack_id, payload) {
                return false;
            }
            pending.waiting.pop_front();
        }
        pending.is_being_sent = false;
        true
    }
}
