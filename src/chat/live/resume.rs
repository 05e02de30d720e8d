//! The point from which members continue who come back without a cursor: how far their last socket had come.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::rooms::{Rooms, Seat};
use crate::realtime::lock;
use crate::types::{ChatId, UserId};

/// How long after a drop a member receives what was missed without asking.
pub(super) const RESUME_WITHIN: Duration = Duration::from_secs(120);

/// The departure of a member's last socket from a chat.
#[derive(Debug, Clone, Copy)]
pub(super) struct LastSeen {
    pub(super) at: Instant,
    /// How far it had come.
    pub(super) cursor: i64,
    /// The moment since which it did not answer: whatever was emitted afterwards may be lost.
    silent_since: Option<DateTime<Utc>>,
    /// Whether the member left on purpose, and so receives nothing without asking.
    pub(super) on_purpose: bool,
    pub(super) is_saved: bool,
}

/// The point from which a member continues who joins without a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResumePoint {
    /// The member dropped out a moment ago.
    Dropped {
        /// How far its last socket had come.
        cursor: i64,
        /// If set, only what was committed before is sure to have arrived.
        silent_since: Option<DateTime<Utc>>,
    },
    /// The end of the chat: the member is here with another socket, or left on purpose.
    End,
    /// Unknown to this process; the database may know it from an earlier one.
    Unknown,
}

impl Rooms {
    /// The point from which a member continues who joins without a cursor.
    #[must_use]
    pub fn resume_point(&self, chat: ChatId, user: UserId) -> ResumePoint {
        if let Some(room) = lock(self.shard(chat)).get(&chat)
            && room.seats.values().any(|seat| seat.has_joined && seat.session.user_id == user)
        {
            return ResumePoint::End;
        }
        match lock(&self.0.last_seen).get(&(chat, user)) {
            None => ResumePoint::Unknown,
            Some(last) if last.on_purpose || last.at.elapsed() > RESUME_WITHIN => ResumePoint::End,
            Some(&LastSeen { cursor, silent_since, .. }) => ResumePoint::Dropped { cursor, silent_since },
        }
    }

    /// Remembers how a member's last socket left a chat.
    pub(super) fn note_last_seen(
        &self,
        chat: ChatId,
        seat: &Seat,
        silent_since: Option<DateTime<Utc>>,
        on_purpose: bool,
    ) {
        let last = LastSeen { at: Instant::now(), cursor: seat.cursor, silent_since, on_purpose, is_saved: false };
        lock(&self.0.last_seen).insert((chat, seat.session.user_id), last);
    }
}
