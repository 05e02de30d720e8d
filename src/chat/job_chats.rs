//! The chats of jobs: one is opened for each provider that a job is given to, and closed when that provider rejects the
//! job or is replaced.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::MAX_MESSAGE_CHARS;
use crate::types::{ChatId, JobId, UserId};
use doors::{Door, Pooler, Tx};

/// What a new chat begins with.
#[derive(Debug)]
pub(crate) struct Opening {
    /// The first line of the customer's request: a template, like the provider's first message.
    pub request: &'static str,
    /// The rest of the request.
    pub details: String,
    /// The texts of the messages with the customer's pictures.
    pub images: Vec<String>,
    /// Replaces `[LOCATION]` in templates.
    pub place: String,
    /// Replaces `[SCHEDULED_DATE]` in templates.
    pub date: String,
}

impl Opening {
    /// Ids for all messages that the chat may begin with: the request, the pictures, and the provider's template.
    pub(crate) fn message_ids(&self) -> Vec<Uuid> {
        (0..self.images.len() + 2).map(|_| Uuid::now_v7()).collect()
    }

    /// The length to which its messages are truncated.
    pub(crate) fn max_chars() -> i32 {
        i32::try_from(MAX_MESSAGE_CHARS).unwrap_or(i32::MAX)
    }
}

/// A party of a new chat: its user, and its text for the first messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Party<T> {
    pub user: UserId,
    /// The customer's name, or the provider's template.
    pub text: T,
}

/// A chat that was just opened.
#[derive(Debug)]
pub(crate) struct OpenedChat {
    pub id: ChatId,
    pub created_at: DateTime<Utc>,
}

/// An id above that of the job's previous chat, which a process with a faster clock may have opened. The chat with the
/// largest id is the job's present one.
fn id_after(previous: Option<ChatId>) -> ChatId {
    let next = previous.map_or(Uuid::nil(), |ChatId(previous)| Uuid::from_u128(previous.as_u128().saturating_add(1)));
    ChatId(next.max(Uuid::now_v7()))
}

/// Opens another chat about a locked job, with both parties as members and its first messages.
pub(crate) async fn open(
    tx: &mut Tx<Pooler>,
    job: JobId,
    previous: Option<ChatId>,
    service: &str,
    customer: Party<&str>,
    provider: Party<Option<&str>>,
    opening: &Opening,
) -> sqlx::Result<OpenedChat> {
    let id = id_after(previous);
    let created_at = sqlx::query_scalar!(
        r#"select stm.open_job_chat_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) as "created_at!""#,
        id.0,
        &opening.message_ids(),
        job.0,
        customer.user.0,
        customer.text,
        provider.user.0,
        service,
        opening.request,
        opening.details,
        &opening.images,
        provider.text,
        opening.place,
        opening.date,
        Opening::max_chars(),
    )
    .fetch_one(tx)
    .await?;
    Ok(OpenedChat { id, created_at })
}

/// Closes the open chat of a job, without deleting anything.
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
