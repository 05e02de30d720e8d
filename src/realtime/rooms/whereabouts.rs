//! Where members' sockets are, and how far they have come: for those who come back without a cursor, to this process
//! or to the next.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::{Rooms, Seat};
use crate::realtime::session::lock;
use crate::types::{ChatId, UserId};

/// For how long a member who dropped out of a chat is given what was missed without asking.
const RESUME_WITHIN: Duration = Duration::from_secs(120);

/// How a member's last socket left a chat.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parting {
    /// When.
    at: Instant,
    /// What it had been given.
    cursor: i64,
    /// It did not answer since then: what it was given afterwards may be lost.
    silent_since: Option<DateTime<Utc>>,
    /// On purpose: it is not given what it misses.
    on_purpose: bool,
    is_recorded: bool,
}

/// What is known of a member who comes without a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// Dropped out a moment ago.
    Dropped {
        /// What its last socket had been given.
        cursor: i64,
        /// If set: only what was committed before is sure to have arrived.
        silent_since: Option<DateTime<Utc>>,
    },
    /// Is here with another socket, or left on purpose: nothing to make up for.
    Nothing,
    /// Not known here: the database may know it from a process before.
    Unknown,
}

/// What the database should know of a member's sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Which chat.
    pub chat_id: ChatId,
    /// Who.
    pub user_id: UserId,
    /// What its sockets have been given.
    pub cursor: i64,
    /// Is one there?
    pub whereabouts: Whereabouts,
}

/// Where a member's sockets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    /// In the chat.
    Here,
    /// The last one dropped.
    Dropped,
    /// The last one left on purpose.
    Left,
}

impl Whereabouts {
    /// The word in SQL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Dropped => "dropped",
            Self::Left => "left",
        }
    }
}

impl Rooms {
    /// What a member who joins without a cursor may have missed.
    #[must_use]
    pub fn past(&self, chat: ChatId, user: UserId) -> Past {
        if let Some(room) = lock(self.shard(chat)).get(&chat)
            && room.seats.values().any(|seat| seat.has_joined && seat.session.user_id == user)
        {
            return Past::Nothing;
        }
        match lock(&self.0.partings).get(&(chat, user)) {
            None => Past::Unknown,
            Some(parting) if parting.on_purpose || parting.at.elapsed() > RESUME_WITHIN => Past::Nothing,
            Some(&Parting { cursor, silent_since, .. }) => Past::Dropped { cursor, silent_since },
        }
    }

    pub(super) fn part(&self, chat: ChatId, seat: &Seat, silent_since: Option<DateTime<Utc>>, on_purpose: bool) {
        let parting = Parting { at: Instant::now(), cursor: seat.cursor, silent_since, on_purpose, is_recorded: false };
        lock(&self.0.partings).insert((chat, seat.session.user_id), parting);
    }

    /// What has changed since the last [`recorded`](Self::recorded).
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let mut records = HashMap::new();
        for (&(chat_id, user_id), parting) in &*lock(&self.0.partings) {
            if !parting.is_recorded {
                let whereabouts = if parting.on_purpose { Whereabouts::Left } else { Whereabouts::Dropped };
                records.insert((chat_id, user_id), Record { chat_id, user_id, cursor: parting.cursor, whereabouts });
            }
        }
        for shard in &self.0.shards {
            for (&chat_id, room) in &*lock(shard) {
                for user_id in room.users() {
                    let seats = || room.joined().filter(|seat| seat.session.user_id == user_id);
                    let Some(cursor) = seats().map(|seat| seat.cursor).min() else { continue };
                    if seats().any(|seat| seat.recorded != Some(cursor)) {
                        let here = Record { chat_id, user_id, cursor, whereabouts: Whereabouts::Here };
                        records.insert((chat_id, user_id), here);
                    }
                }
            }
        }
        records.into_values().collect()
    }

    /// The database knows these.
    pub fn recorded(&self, records: &[Record]) {
        let (here, gone): (Vec<&Record>, Vec<&Record>) =
            records.iter().partition(|record| record.whereabouts == Whereabouts::Here);
        for record in here {
            let mut rooms = lock(self.shard(record.chat_id));
            let seats = rooms.get_mut(&record.chat_id).into_iter().flat_map(|room| room.seats.values_mut());
            for seat in seats.filter(|seat| seat.session.user_id == record.user_id) {
                seat.recorded = Some(record.cursor);
            }
        }
        let mut partings = lock(&self.0.partings);
        for record in gone {
            if let Some(parting) = partings.get_mut(&(record.chat_id, record.user_id))
                && parting.cursor == record.cursor
                && parting.on_purpose == (record.whereabouts == Whereabouts::Left)
            {
                parting.is_recorded = true;
            }
        }
        partings.retain(|_, parting| !parting.is_recorded || parting.at.elapsed() <= RESUME_WITHIN);
    }
}
