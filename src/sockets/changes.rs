//! Follows changes that concern live sockets, from any process: triggers notify a channel when their transaction commits
//! (`migrations/0006_realtime.sql`).
//!
//! Notifications that were sent while nobody listened are lost: afterwards everything is compared with the database.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use sqlx::Executor as _;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::queries;
use crate::chat::events::LsmJoined;
use crate::chat::live;
use crate::realtime::{CloseReason, EncodedEvent};
use crate::state::SocketState;
use crate::supervision::Task;
use crate::types::{ChatId, UserId};
use doors::Direct;

const CHANNEL: &str = "stm_realtime";

/// How long after a failure the comparison is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// How often the listener's connection is checked: a path may die silently.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// How many rows are compared at a time.
const MAX_COMPARED: usize = 5000;

/// How long beyond its own limit an abandoned statement may still be carried out.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// A change, as the triggers send it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Announcement {
    MemberJoined { chat_id: ChatId, user_id: UserId },
    MemberLeft { chat_id: ChatId, user_id: UserId },
    ChatClosed { chat_id: ChatId },
    UserBanned { user_id: UserId },
    LoginEnded { user_id: UserId },
}

/// Follows changes until the listener is lost. `outcome_unknown` is notified when a batch of messages may have been
/// committed without being delivered.
pub(super) async fn follow(
    direct: Direct,
    state: SocketState,
    outcome_unknown: Arc<Notify>,
    task: Arc<Task>,
) -> anyhow::Result<()> {
    let mut listener = direct.listen(CHANNEL).await?;
    // Otherwise a connection could be lost and replaced unnoticed.
    listener.eager_reconnect(false);
    compare(&state).await;
    task.works();
    let settled_after = direct.statement_timeout() + SETTLED_AFTER;
    listen(&mut listener, &state, &outcome_unknown, settled_after).await?;
    anyhow::bail!("the listener's connection was closed")
}

/// Applies changes until the connection is lost.
async fn listen(
    listener: &mut PgListener,
    state: &SocketState,
    outcome_unknown: &Notify,
    settled_after: Duration,
) -> sqlx::Result<()> {
    let mut compare_at = Some(Instant::now() + settled_after);
    loop {
        tokio::select! {
            received = listener.try_recv() => {
                let Some(notification) = received? else { return Ok(()) };
                match serde_json::from_str(notification.payload()) {
                    Ok(announcement) => apply(state, announcement).await,
                    Err(error) => tracing::error!(%error, payload = notification.payload(), "unknown change"),
                }
            }
            () = outcome_unknown.notified() => {
                compare(state).await;
                compare_at = Some(Instant::now() + settled_after);
            }
            () = tokio::time::sleep_until(compare_at.unwrap_or_else(Instant::now)), if compare_at.is_some() => {
                compare_at = None;
                compare(state).await;
            }
            () = tokio::time::sleep(PING_EVERY) => {
                let ping = tokio::time::timeout(PING_TIMEOUT, listener.execute("select 1")).await;
                ping.map_err(|_| sqlx::Error::PoolTimedOut)??;
            }
        }
    }
}

async fn apply(state: &SocketState, announcement: Announcement) {
    match announcement {
        Announcement::MemberLeft { chat_id, user_id } => state.rooms.check_departure(chat_id, user_id).await,
        Announcement::ChatClosed { chat_id } => state.rooms.close(chat_id),
        Announcement::UserBanned { user_id } => end(state, user_id, CloseReason::Banned),
        Announcement::LoginEnded { user_id } => end(state, user_id, CloseReason::LoggedOut),
        Announcement::MemberJoined { chat_id, user_id } => {
            drop(tokio::spawn(emit_joined(state.clone(), chat_id, user_id)));
        }
    }
}

/// Lets a user in no longer, over either door.
fn end(state: &SocketState, user: UserId, why: CloseReason) {
    state.live_logins.forget(user);
    state.connections.close_user(user, why);
}

async fn emit_joined(state: SocketState, chat_id: ChatId, user_id: UserId) {
    match state.bulkhead.run(async |direct| live::queries::find_lsm(direct, chat_id, user_id).await).await {
        Ok(Some(lsm)) => {
            let message = "A local service manager has joined the chat";
            let joined = LsmJoined { chat_id, lsm_id: lsm.id, lsm_name: lsm.name, message };
            state.rooms.emit(chat_id, None, EncodedEvent::new(&joined));
        }
        Ok(None) => {}
        Err(error) => tracing::error!(%error, "lsm_joined was not emitted"),
    }
}

/// Compares who is connected, and who is in which chat, with the database, until it answers.
async fn compare(state: &SocketState) {
    state.live_logins.forget_all();
    while let Err(error) = try_compare(state).await {
        tracing::warn!(%error, "connections could not be compared with the database: trying again");
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

async fn try_compare(state: &SocketState) -> sqlx::Result<()> {
    for logins in state.connections.logins().chunks(MAX_COMPARED) {
        let ended = state.bulkhead.run(async |direct| queries::list_ended(direct, logins).await).await?;
        if !ended.is_empty() {
            state.connections.close_where(CloseReason::LoggedOut, |session| {
                ended.contains(&(session.user_id, session.right().login))
            });
        }
    }
    let mut last_seqs = HashMap::new();
    for members in state.rooms.members().chunks(MAX_COMPARED) {
        let at = Instant::now();
        let statuses = async |direct: &Direct| live::queries::list_membership_statuses(direct, members).await;
        for status in state.bulkhead.run(statuses).await? {
            if status.is_closed {
                state.rooms.close(status.chat_id);
            } else if status.is_member {
                last_seqs.insert(status.chat_id, status.last_seq);
            } else {
                state.rooms.evict(status.chat_id, status.user_id, at);
            }
        }
    }
    for (chat, seq) in last_seqs {
        state.rooms.catch_up(chat, seq);
    }
    Ok(())
}
