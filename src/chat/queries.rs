//! Chats and messages: history through the pooler, live access through the direct connection.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use sqlx::types::Json;

use super::{ChatId, MessageId, MessageType, MessageView, Side};
use crate::auth::{Role, UserId};
use crate::db::{Direct, Pooler};
use crate::notifications::{NotificationId, NotificationType, NotificationView};
use crate::web::time::Timestamp;

/// Which part of a chat's history.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Only messages after this `seq`; then the oldest of them come first.
    pub after: Option<i64>,
    /// Only messages before this `seq`.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: i64,
}

/// A part of a chat's history, oldest first; without `after`, its newest messages.
/// `None`: the user is not a member.
///
/// # Errors
/// Those of the database.
pub async fn list_messages(
    pooler: &Pooler,
    chat: ChatId,
    user: UserId,
    window: Window,
) -> sqlx::Result<Option<Vec<MessageView>>> {
    let rows = sqlx::query!(
        r#"with member as (
               select from stm.chat_members where chat_id = $1 and user_id = $2 and left_at is null
           ), page as (
               (select m.*
                from stm.messages m
                where $3::bigint is not null and m.chat_id = $1 and m.seq > $3 and ($4::bigint is null or m.seq < $4)
                order by m.seq
                limit $5)
               union all
               (select m.*
                from stm.messages m
                where $3::bigint is null and m.chat_id = $1 and ($4::bigint is null or m.seq < $4)
                order by m.seq desc
                limit $5)
           )
           select page.id as "id?: MessageId", page.seq as "seq?", page.sender_type as "sender_type?: Side",
                  page.sender_id as "sender_id?: UserId", u.first_name || ' ' || u.last_name as sender_name,
                  page.message as "message?", page.message_type as "message_type?: MessageType",
                  page.created_at as "created_at?"
           from member
           left join page on true
           left join stm.users u on u.id = page.sender_id
           order by page.seq"#,
        chat.0,
        user.0,
        window.after,
        window.before,
        window.limit,
    )
    .fetch_all(pooler)
    .await?;
    if rows.is_empty() {
        return Ok(None);
    }
    // A member of a chat without messages in this window is one row of nulls.
    let messages = rows.into_iter().filter_map(|row| {
        Some(MessageView {
            id: row.id?,
            seq: row.seq?,
            sender_type: row.sender_type?,
            sender_id: row.sender_id?,
            sender_name: row.sender_name?,
            message: row.message?,
            message_type: row.message_type?,
            created_at: row.created_at?.into(),
        })
    });
    Ok(Some(messages.collect()))
}

/// May this user use the chat: does the account exist, and is it not banned?
///
/// # Errors
/// Those of the database.
pub async fn is_allowed_in(direct: &Direct, user: UserId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from stm.users where id = $1 and banned_at is null) as "exists!""#,
        user.0
    )
    .fetch_one(direct)
    .await
}

/// Is this user a member of this chat?
///
/// # Errors
/// Those of the database.
pub async fn is_member(direct: &Direct, chat: ChatId, user: UserId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from stm.chat_members where chat_id = $1 and user_id = $2 and left_at is null) as "exists!""#,
        chat.0,
        user.0,
    )
    .fetch_one(direct)
    .await
}

/// The `seq` of a chat's last message; 0 without any.
///
/// # Errors
/// Those of the database.
pub async fn last_seq(direct: &Direct, chat: ChatId) -> sqlx::Result<i64> {
    sqlx::query_scalar!("select last_seq from stm.chats where id = $1", chat.0).fetch_one(direct).await
}

/// What a member has missed: at most `limit` messages after `after`, oldest first.
///
/// # Errors
/// Those of the database.
pub async fn list_missed(direct: &Direct, chat: ChatId, after: i64, limit: i64) -> sqlx::Result<Vec<MessageView>> {
    sqlx::query_as!(
        MessageView,
        r#"select m.id as "id: MessageId", m.seq, m.sender_type as "sender_type: Side", m.sender_id as "sender_id: UserId",
                  u.first_name || ' ' || u.last_name as "sender_name!", m.message,
                  m.message_type as "message_type: MessageType", m.created_at
           from stm.messages m
           join stm.users u on u.id = m.sender_id
           where m.chat_id = $1 and m.seq > $2
           order by m.seq
           limit $3"#,
        chat.0,
        after,
        limit,
    )
    .fetch_all(direct)
    .await
}

/// A message to be stored.
#[derive(Debug)]
pub struct NewMessage {
    /// Its id if it is stored.
    pub id: MessageId,
    /// Where.
    pub chat_id: ChatId,
    /// Who says it.
    pub sender_id: UserId,
    /// The sender's own name for it: the same one again is the same message.
    pub client_message_id: Option<String>,
    /// The text, or a URL.
    pub message: String,
    /// What it holds.
    pub message_type: MessageType,
}

/// Somebody who is looking at a chat, and so needs no notification.
#[derive(Debug, Clone, Copy)]
pub struct Present {
    /// Which chat.
    pub chat_id: ChatId,
    /// Who.
    pub user_id: UserId,
}

/// What became of a message.
#[derive(Debug)]
pub enum Outcome {
    /// It is committed.
    Stored(Stored),
    /// Its sender is not a member, or there is no such chat.
    Forbidden,
    /// Its chat takes no more messages.
    ChatClosed,
}

/// A committed message.
#[derive(Debug)]
pub struct Stored {
    /// Id: that of the first message under the same clientMessageId.
    pub id: MessageId,
    /// Its place in the chat.
    pub seq: i64,
    /// When it was committed.
    pub created_at: Timestamp,
    /// Was it stored just now, and not under an earlier send of the same clientMessageId?
    pub is_new: bool,
    /// The sender's first and last name.
    pub sender_name: String,
    /// The sender's side.
    pub side: Side,
    /// Who is to be told.
    pub notifications: Vec<NotificationView>,
}

/// A notification as the statement below returns it.
#[derive(Debug, Deserialize)]
struct NotificationRow {
    id: NotificationId,
    recipient_type: Role,
    recipient_id: UserId,
    title: String,
    message: String,
    metadata: serde_json::Value,
    created_at: DateTime<Utc>,
}

/// Stores messages; the outcomes are in the order of the messages.
///
/// One statement, and so one transaction and one round trip, does it all: it locks the chats in the order of
/// their ids (so that no two batches can wait for each other), checks membership and that the chat is open,
/// recognises what is stored already, numbers the rest in the order of their arrival, and notifies the
/// members who are not `present`.
///
/// # Errors
/// Those of the database. After the loss of the connection the outcome is unknown.
pub async fn insert_messages(
    direct: &Direct,
    messages: &[&NewMessage],
    present: &[Present],
) -> sqlx::Result<Vec<Outcome>> {
    let ids: Vec<_> = messages.iter().map(|message| message.id.0).collect();
    let chats: Vec<_> = messages.iter().map(|message| message.chat_id.0).collect();
    let senders: Vec<_> = messages.iter().map(|message| message.sender_id.0).collect();
    let client_ids: Vec<_> = messages.iter().map(|message| message.client_message_id.clone()).collect();
    let texts: Vec<_> = messages.iter().map(|message| message.message.clone()).collect();
    let types: Vec<_> = messages.iter().map(|message| message.message_type.as_str().to_owned()).collect();
    let present_chats: Vec<_> = present.iter().map(|present| present.chat_id.0).collect();
    let present_users: Vec<_> = present.iter().map(|present| present.user_id.0).collect();
    let rows = sqlx::query_file!(
        "src/chat/insert_messages.sql",
        &ids,
        &chats,
        &senders,
        &client_ids as &[Option<String>],
        &texts,
        &types,
        &present_chats,
        &present_users,
    )
    .fetch_all(direct)
    .await?;

    let outcomes = rows.into_iter().map(|row| {
        let (Some(side), Some(sender_name)) = (row.side, row.sender_name) else {
            return Outcome::Forbidden;
        };
        let (Some(id), Some(seq), Some(created_at)) = (row.id, row.seq, row.created_at) else {
            return if row.is_closed == Some(true) { Outcome::ChatClosed } else { Outcome::Forbidden };
        };
        let notifications = row.notifications.map(|Json(rows)| rows).unwrap_or_default();
        let notifications = notifications.into_iter().map(Into::into).collect();
        Outcome::Stored(Stored {
            id,
            seq,
            created_at: created_at.into(),
            is_new: row.is_new,
            sender_name,
            side,
            notifications,
        })
    });
    Ok(outcomes.collect())
}

impl From<NotificationRow> for NotificationView {
    fn from(row: NotificationRow) -> Self {
        Self {
            id: row.id,
            recipient_type: row.recipient_type,
            recipient_id: row.recipient_id,
            kind: NotificationType::Message,
            title: row.title,
            message: row.message,
            is_read: false,
            created_at: row.created_at.into(),
            metadata: row.metadata,
        }
    }
}
