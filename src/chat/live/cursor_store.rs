//! Members' cursors in the database: how far their sockets have come, and whether one is there. For members who come
//! back without a cursor to another process, also after this one was killed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::queries;
use super::resume::RESUME_WITHIN;
use super::rooms::Rooms;
use crate::realtime::{Bulkhead, lock};
use crate::supervision::Task;
use crate::types::{ChatId, UserId};

/// How often cursors are saved: a killed process forgets no more than this.
const SAVE_EVERY: Duration = Duration::from_millis(500);

/// How many rows are written at a time.
const MAX_BATCH: usize = 500;

/// How far a member's sockets have come in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberCursor {
    pub chat_id: ChatId,
    pub user_id: UserId,
    pub cursor: i64,
    pub presence: Presence,
}

/// The presence of a member's sockets in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// At least one is in the chat.
    Here,
    /// The last one dropped.
    Dropped,
    /// The last one left on purpose.
    Left,
}

impl Presence {
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

/// Saves cursors for as long as the process lives.
pub(crate) async fn run(rooms: Rooms, bulkhead: Bulkhead, task: Arc<Task>) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(SAVE_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        save(&rooms, &bulkhead).await;
        task.works();
    }
}

/// Saves the cursors that have changed in the chats of this process.
pub(crate) async fn save(rooms: &Rooms, bulkhead: &Bulkhead) {
    for cursors in rooms.unsaved_cursors().chunks(MAX_BATCH) {
        match bulkhead.run(async |direct| queries::save_cursors(direct, cursors).await).await {
            Ok(()) => rooms.mark_saved(cursors),
            Err(error) => {
                tracing::warn!(%error, "cursors could not be saved: trying again");
                return;
            }
        }
    }
}

impl Rooms {
    /// The cursors that have changed since the last [`mark_saved`](Self::mark_saved).
    fn unsaved_cursors(&self) -> Vec<MemberCursor> {
        let mut cursors = HashMap::new();
        for (&(chat_id, user_id), last) in &*lock(&self.0.last_seen) {
            if !last.is_saved {
                let presence = if last.on_purpose { Presence::Left } else { Presence::Dropped };
                cursors.insert((chat_id, user_id), MemberCursor { chat_id, user_id, cursor: last.cursor, presence });
            }
        }
        for shard in &self.0.shards {
            for (&chat_id, room) in &*lock(shard) {
                for user_id in room.users() {
                    let seats = || room.joined().filter(|seat| seat.session.user_id == user_id);
                    let Some(cursor) = seats().map(|seat| seat.cursor).min() else { continue };
                    if seats().any(|seat| seat.saved_cursor != Some(cursor)) {
                        let here = MemberCursor { chat_id, user_id, cursor, presence: Presence::Here };
                        cursors.insert((chat_id, user_id), here);
                    }
                }
            }
        }
        cursors.into_values().collect()
    }

    /// Notes that the database has these cursors.
    fn mark_saved(&self, cursors: &[MemberCursor]) {
        let (here, gone): (Vec<&MemberCursor>, Vec<&MemberCursor>) =
            cursors.iter().partition(|member| member.presence == Presence::Here);
        for member in here {
            let mut rooms = lock(self.shard(member.chat_id));
            let seats = rooms.get_mut(&member.chat_id).into_iter().flat_map(|room| room.seats.values_mut());
            for seat in seats.filter(|seat| seat.session.user_id == member.user_id) {
                seat.saved_cursor = Some(member.cursor);
            }
        }
        let mut last_seen = lock(&self.0.last_seen);
        for member in gone {
            if let Some(last) = last_seen.get_mut(&(member.chat_id, member.user_id))
                && last.cursor == member.cursor
                && last.on_purpose == (member.presence == Presence::Left)
            {
                last.is_saved = true;
            }
        }
        last_seen.retain(|_, last| !last.is_saved || last.at.elapsed() <= RESUME_WITHIN);
    }
}
