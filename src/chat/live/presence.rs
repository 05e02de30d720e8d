//! Presence: who comes online and goes offline, emitted to the members of the same chats, and when users were last seen.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::MissedTickBehavior;

use super::queries;
use crate::chat::events::PresenceView;
use crate::realtime::{Bulkhead, Connections, EncodedEvent, PresenceChange};
use crate::supervision::Task;
use crate::types::UserId;

/// How often presence changes are emitted.
const EMIT_EVERY: Duration = Duration::from_millis(250);

/// How often the database is informed that those who are online still are.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// How many rows are written, or users looked up, at a time.
const MAX_BATCH: usize = 500;

/// Emits and saves presence for as long as the process lives.
pub(crate) async fn run(connections: Connections, bulkhead: Bulkhead, task: Arc<Task>) -> anyhow::Result<()> {
    let mut emit_every = ticks(EMIT_EVERY);
    let mut save_every = ticks(SAVE_EVERY);
    loop {
        tokio::select! {
            _ = emit_every.tick() => {
                for changes in connections.take_presence_changes().chunks(MAX_BATCH) {
                    emit_changes(&connections, &bulkhead, changes).await;
                }
            }
            _ = save_every.tick() => {
                let now = Utc::now();
                let seen: Vec<_> = connections.connected_users().into_iter().map(|user| (user, now)).collect();
                for seen in seen.chunks(MAX_BATCH) {
                    save_last_seen(&bulkhead, seen).await;
                }
            }
        }
        task.works();
    }
}

async fn emit_changes(connections: &Connections, bulkhead: &Bulkhead, changes: &[PresenceChange]) {
    let seen: Vec<_> = changes.iter().filter_map(|change| Some((change.user_id, change.last_seen?))).collect();
    if !seen.is_empty() {
        save_last_seen(bulkhead, &seen).await;
    }
    let users: Vec<_> = changes.iter().map(|change| change.user_id).collect();
    let connected = connections.connected_users();
    let partners =
        match bulkhead.run(async |direct| queries::list_chat_partners(direct, &users, &connected).await).await {
            Ok(partners) => partners,
            Err(error) => {
                tracing::warn!(%error, "a presence change was not emitted: its readers could not be looked up");
                return;
            }
        };
    let mut by_user = HashMap::<_, Vec<UserId>>::new();
    for (user, partner) in partners {
        by_user.entry(user).or_default().push(partner);
    }
    for &PresenceChange { user_id, last_seen } in changes {
        let view = PresenceView { user_id, online: last_seen.is_none(), last_seen: last_seen.map(Into::into) };
        let presence = EncodedEvent::new(&view);
        for partner in by_user.remove(&user_id).unwrap_or_default() {
            connections.emit(partner, &presence);
        }
    }
}

async fn save_last_seen(bulkhead: &Bulkhead, seen: &[(UserId, DateTime<Utc>)]) {
    if let Err(error) = bulkhead.run(async |direct| queries::set_last_seen(direct, seen).await).await {
        tracing::warn!(%error, "it could not be saved when users were last seen");
    }
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
