//! What the database should know of connections, written in the background: where members' sockets are and what
//! they have been given, and when users were last seen. And presence, told to whom it concerns.

use std::collections::HashMap;
use std::time::Duration;

use chrono::Utc;
use tokio::time::MissedTickBehavior;

use super::connections::Turn;
use super::readings::Readings;
use super::rooms::Rooms;
use super::{Encoded, queries};
use crate::chat::events::PresenceView;
use crate::state::SocketState;
use crate::types::UserId;

/// How often whereabouts are recorded: a killed process forgets no more than this.
const RECORD_EVERY: Duration = Duration::from_millis(500);

/// How often presence is told.
const TELL_EVERY: Duration = Duration::from_millis(250);

/// How often it is recorded that those who are online are.
const SEEN_EVERY: Duration = Duration::from_secs(60);

/// How many rows are written, or users asked about, at a time.
const MAX_BATCH: usize = 500;

/// Records whereabouts, for as long as the process lives.
pub async fn keep(state: SocketState) {
    let mut every = ticks(RECORD_EVERY);
    loop {
        every.tick().await;
        record(&state.rooms, &state.readings).await;
    }
}

/// Records what has changed in the chats of this process.
pub async fn record(rooms: &Rooms, readings: &Readings) {
    for records in rooms.records().chunks(MAX_BATCH) {
        match readings.run(async |direct| queries::set_whereabouts(direct, records).await).await {
            Ok(()) => rooms.recorded(records),
            Err(error) => {
                tracing::warn!(%error, "it could not be recorded who is in which chat: trying again");
                return;
            }
        }
    }
}

/// Tells who comes online and goes offline, for as long as the process lives.
pub async fn tell_presence(state: SocketState) {
    let mut every = ticks(TELL_EVERY);
    let mut seen_every = ticks(SEEN_EVERY);
    loop {
        tokio::select! {
            _ = every.tick() => {
                for turns in state.connections.take_turns().chunks(MAX_BATCH) {
                    tell(&state, turns).await;
                }
            }
            _ = seen_every.tick() => {
                state.limits.forget_the_quiet();
                let now = Utc::now();
                let seen: Vec<_> = state.connections.connected_users().into_iter().map(|user| (user, now)).collect();
                for seen in seen.chunks(MAX_BATCH) {
                    record_seen(&state, seen).await;
                }
            }
        }
    }
}

async fn tell(state: &SocketState, turns: &[Turn]) {
    let seen: Vec<_> = turns.iter().filter_map(|turn| Some((turn.user_id, turn.last_seen?))).collect();
    if !seen.is_empty() {
        record_seen(state, &seen).await;
    }
    let users: Vec<_> = turns.iter().map(|turn| turn.user_id).collect();
    let connected = state.connections.connected_users();
    let acquaintances = match state
        .readings
        .run(async |direct| queries::list_acquaintances(direct, &users, &connected).await)
        .await
    {
        Ok(acquaintances) => acquaintances,
        Err(error) => {
            tracing::warn!(%error, "it could not be found out whom presence concerns: they see it at their next look");
            return;
        }
    };
    let mut by_user = HashMap::<_, Vec<UserId>>::new();
    for (user, other) in acquaintances {
        by_user.entry(user).or_default().push(other);
    }
    for &Turn { user_id, last_seen } in turns {
        let view = PresenceView { user_id, online: last_seen.is_none(), last_seen: last_seen.map(Into::into) };
        let view = Encoded::new(&view);
        for other in by_user.remove(&user_id).unwrap_or_default() {
            state.connections.tell(other, "presence", &view);
        }
    }
}

async fn record_seen(state: &SocketState, seen: &[(UserId, chrono::DateTime<Utc>)]) {
    if let Err(error) = state.readings.run(async |direct| queries::set_last_seen(direct, seen).await).await {
        tracing::warn!(%error, "it could not be recorded when users were last seen");
    }
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
