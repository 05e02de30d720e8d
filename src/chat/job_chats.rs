//! The chats of jobs: one is opened for each provider a job is given to, and closed when the two part.

use chrono::{DateTime, Utc};

use super::MessageType;
use crate::types::{ChatId, JobId, Side, UserId};
use doors::{Door, Pooler, Tx};

/// A message that a new chat begins with.
#[derive(Debug)]
pub(crate) struct OpeningMessage {
    /// The sender's user.
    pub sender_id: UserId,
    /// The sender's side.
    pub side: Side,
    pub message_type: MessageType,
    pub text: String,
}

/// A chat that was just opened.
#[derive(Debug)]
pub(crate) struct OpenedChat {
    pub id: ChatId,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
}

/// Opens a chat about a job, with both parties as members and its first messages.
pub(crate) async fn open(
    tx: &mut Tx<Pooler>,
    job: JobId,
    customer: UserId,
    provider: UserId,
    messages: &[OpeningMessage],
) -> sqlx::Result<OpenedChat> {
    let senders: Vec<i64> = messages.iter().map(|message| message.sender_id.0).collect();
    let sides: Vec<String> = messages.iter().map(|message| message.side.as_str().to_owned()).collect();
    let types: Vec<String> = messages.iter().map(|message| message.message_type.as_str().to_owned()).collect();
    let texts: Vec<String> = messages.iter().map(|message| message.text.clone()).collect();
    sqlx::query_as!(
        OpenedChat,
        r#"with chat as (
               insert into stm.chats (job_id, last_seq) values ($1, cardinality($4::bigint[])) returning id, created_at
           ), members as (
               insert into stm.chat_members (chat_id, user_id, side)
               select chat.id, member.user_id, member.side
               from chat, (values ($2::bigint, 'customer'), ($3::bigint, 'service_provider')) as member (user_id, side)
           ), messages as (
               insert into stm.messages (chat_id, seq, sender_id, sender_type, message_type, message)
               select chat.id, first.seq, first.sender_id, first.side, first.message_type, first.text
               from chat, unnest($4::bigint[], $5::text[], $6::text[], $7::text[]) with ordinality
                    as first (sender_id, side, message_type, text, seq)
           )
           select id as "id: ChatId", created_at from chat"#,
        job.0,
        customer.0,
        provider.0,
        &senders,
        &sides,
        &types,
        &texts,
    )
    .fetch_one(tx)
    .await
}

/// Closes the open chat of a job; it is kept.
pub(crate) async fn close<D: Door>(tx: &mut Tx<D>, job: JobId, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!("update stm.chats set closed_at = $2 where job_id = $1 and closed_at is null", job.0, now)
        .execute(tx)
        .await
        .map(drop)
}

/// Makes an LSM a member of a chat, if it is not one.
pub(crate) async fn add_lsm(tx: &mut Tx<Pooler>, chat: ChatId, lsm: UserId) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into stm.chat_members as m (chat_id, user_id, side) values ($1, $2, 'local_service_manager')
         on conflict (chat_id, user_id) do update set left_at = null, joined_at = now() where m.left_at is not null",
        chat.0,
        lsm.0,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Ends all memberships of an LSM.
pub(crate) async fn remove_lsm(tx: &mut Tx<Pooler>, lsm: UserId) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.chat_members set left_at = now()
         where user_id = $1 and side = 'local_service_manager' and left_at is null",
        lsm.0,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Ends the membership of every LSM in a chat.
pub(crate) async fn remove_lsms(tx: &mut Tx<Pooler>, chat: ChatId) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.chat_members set left_at = now()
         where chat_id = $1 and side = 'local_service_manager' and left_at is null",
        chat.0,
    )
    .execute(tx)
    .await
    .map(drop)
}
