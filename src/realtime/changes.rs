//! Follows changes that live sockets must heed, whoever makes them: triggers tell them on a channel when their
//! transaction commits (`migrations/0006_realtime.sql`).
//!
//! What was told while nobody listened is made up for by comparing everything with the database.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use sqlx::Executor as _;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connections::End;
use super::queries;
use crate::chat::events::LsmJoined;
use crate::state::SocketState;
use crate::types::{ChatId, UserId};
use doors::Direct;

const CHANNEL: &str = "stm_realtime";

/// How long to wait before a failed listener is replaced, or a failed comparison is made again.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// A path that has died silently is noticed after this time.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// How many rows are compared at a time.
const MAX_COMPARED: usize = 5000;

/// A statement that nobody waits for any more may still be carried out until its own limit, and this much later.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// A change, as the triggers tell it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Change {
    MemberJoined { chat_id: ChatId, user_id: UserId },
    MemberLeft { chat_id: ChatId, user_id: UserId },
    ChatClosed { chat_id: ChatId },
    UserBanned { user_id: UserId },
    LoginEnded { user_id: UserId },
}

/// Follows changes for as long as the process lives. `doubt`: a batch of messages may have been committed
/// without being delivered.
pub async fn follow(direct: Direct, state: SocketState, doubt: Arc<Notify>) {
    loop {
        match direct.listen(CHANNEL).await {
            Ok(mut listener) => {
                // Otherwise a connection could be lost and replaced without our being told.
                listener.eager_reconnect(false);
                compare(&state).await;
                let settled_after = direct.statement_timeout() + SETTLED_AFTER;
                if let Err(error) = listen(&mut listener, &state, &doubt, settled_after).await {
                    tracing::warn!(%error, "changes are not told at present: listening again");
                }
            }
            Err(error) => tracing::warn!(%error, "changes cannot be listened to: trying again"),
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// Until the connection is lost.
async fn listen(
    listener: &mut PgListener,
    state: &SocketState,
    doubt: &Notify,
    settled_after: Duration,
) -> sqlx::Result<()> {
    let mut compare_at = Some(Instant::now() + settled_after);
    loop {
        tokio::select! {
            told = listener.try_recv() => {
                let Some(told) = told? else { return Ok(()) };
                match serde_json::from_str(told.payload()) {
                    Ok(change) => heed(state, change),
                    Err(error) => tracing::error!(%error, payload = told.payload(), "an unknown change was told"),
                }
            }
            () = doubt.notified() => {
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

fn heed(state: &SocketState, change: Change) {
    match change {
        Change::MemberLeft { chat_id, user_id } => state.rooms.evict(chat_id, user_id),
        Change::ChatClosed { chat_id } => state.rooms.close(chat_id),
        Change::UserBanned { user_id } => state.connections.end(user_id, End::Banned),
        Change::LoginEnded { user_id } => state.connections.end(user_id, End::LoggedOut),
        Change::MemberJoined { chat_id, user_id } => drop(tokio::spawn(tell_joined(state.clone(), chat_id, user_id))),
    }
}

async fn tell_joined(state: SocketState, chat_id: ChatId, user_id: UserId) {
    match state.readings.run(async |direct| queries::find_lsm(direct, chat_id, user_id).await).await {
        Ok(Some(lsm)) => {
            let message = "A local service manager has joined the chat";
            let joined = LsmJoined { chat_id, lsm_id: lsm.id, lsm_name: lsm.name, message };
            state.rooms.tell(chat_id, None, "lsm_joined", &joined);
        }
        Ok(None) => {}
        Err(error) => tracing::error!(%error, "it could not be told that an LSM has joined"),
    }
}

/// Compares who is connected, and who is in which chat, with the database, until it answers.
async fn compare(state: &SocketState) {
    while let Err(error) = try_compare(state).await {
        tracing::warn!(%error, "connections could not be compared with the database: trying again");
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

async fn try_compare(state: &SocketState) -> sqlx::Result<()> {
    for logins in state.connections.logins().chunks(MAX_COMPARED) {
        let ended = state.readings.run(async |direct| queries::list_ended(direct, logins).await).await?;
        if !ended.is_empty() {
            state.connections.end_where(End::LoggedOut, |session| ended.contains(&(session.user_id, session.login)));
        }
    }
    let mut last_seqs = HashMap::new();
    for members in state.rooms.members().chunks(MAX_COMPARED) {
        for standing in state.readings.run(async |direct| queries::list_standings(direct, members).await).await? {
            if standing.is_closed {
                state.rooms.close(standing.chat_id);
            } else if standing.is_member {
                last_seqs.insert(standing.chat_id, standing.last_seq);
            } else {
                state.rooms.evict(standing.chat_id, standing.user_id);
            }
        }
    }
    for (chat, seq) in last_seqs {
        state.rooms.catch_up(chat, seq);
    }
    Ok(())
}
