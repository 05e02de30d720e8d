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
pub async fn list_messages(pooler: &Pooler, chat: ChatId, user: UserId, window: Window) -> sqlx::Result<Option<Vec<MessageView>>> {
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
    sqlx::query_scalar!(r#"select exists (select from stm.users where id = $1 and banned_at is null) as "exists!""#, user.0).fetch_one(direct).await
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
pub async fn insert_messages(direct: &Direct, messages: &[&NewMessage], present: &[Present]) -> sqlx::Result<Vec<Outcome>> {
    let ids: Vec<_> = messages.iter().map(|message| message.id.0).collect();
    let chats: Vec<_> = messages.iter().map(|message| message.chat_id.0).collect();
    let senders: Vec<_> = messages.iter().map(|message| message.sender_id.0).collect();
    let client_ids: Vec<_> = messages.iter().map(|message| message.client_message_id.clone()).collect();
    let texts: Vec<_> = messages.iter().map(|message| message.message.clone()).collect();
    let types: Vec<_> = messages.iter().map(|message| message.message_type.as_str().to_owned()).collect();
    let present_chats: Vec<_> = present.iter().map(|present| present.chat_id.0).collect();
    let present_users: Vec<_> = present.iter().map(|present| present.user_id.0).collect();
    let rows = sqlx::query!(
        r#"with input as (
               select *
               from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[]) with ordinality
                    as input (id, chat_id, sender_id, client_message_id, message, message_type, position)
           ), locked as materialized (
               select id, closed_at from stm.chats where id = any($2::uuid[]) order by id for no key update
           ), allowed as materialized (
               select input.*, member.side, locked.closed_at is not null as is_closed, u.first_name || ' ' || u.last_name as sender_name
               from input
               join locked on locked.id = input.chat_id
               join stm.chat_members member
                    on member.chat_id = input.chat_id and member.user_id = input.sender_id and member.left_at is null
               join stm.users u on u.id = input.sender_id
           ), fresh as (
               select allowed.*, row_number() over (partition by allowed.chat_id order by allowed.position) as place
               from allowed
               where not allowed.is_closed
                 and (allowed.client_message_id is null
                      or not exists (
                             select from stm.messages stored
                             where stored.chat_id = allowed.chat_id and stored.sender_id = allowed.sender_id
                               and stored.client_message_id = allowed.client_message_id)
                         and not exists (
                             select from allowed earlier
                             where earlier.chat_id = allowed.chat_id and earlier.sender_id = allowed.sender_id
                               and earlier.client_message_id = allowed.client_message_id
                               and earlier.position < allowed.position))
           ), numbered as (
               update stm.chats chat
               set last_seq = chat.last_seq + counted.messages
               from (select chat_id, count(*) as messages from fresh group by chat_id) counted
               where chat.id = counted.chat_id
               returning chat.id, chat.last_seq - counted.messages as base
           ), inserted as (
               insert into stm.messages (id, chat_id, seq, sender_id, sender_type, client_message_id, message, message_type)
               select fresh.id, fresh.chat_id, numbered.base + fresh.place, fresh.sender_id, fresh.side,
                      fresh.client_message_id, fresh.message, fresh.message_type
               from fresh
               join numbered on numbered.id = fresh.chat_id
               returning id, chat_id, seq, sender_id, client_message_id, created_at
           ), notified as (
               insert into stm.notifications (recipient_id, type, title, message, metadata)
               select member.user_id, 'message', 'New message from ' || fresh.sender_name,
                      case fresh.message_type when 'text' then left(fresh.message, 140) else 'Sent a file' end,
                      jsonb_build_object('chatId', fresh.chat_id, 'messageId', fresh.id)
               from fresh
               join stm.chat_members member
                    on member.chat_id = fresh.chat_id and member.user_id <> fresh.sender_id and member.left_at is null
               where not exists (
                   select from unnest($7::uuid[], $8::bigint[]) as present (chat_id, user_id)
                   where present.chat_id = member.chat_id and present.user_id = member.user_id)
               returning id, recipient_id, title, message, metadata, created_at
           )
           select allowed.side as "side?: Side", allowed.is_closed as "is_closed?", allowed.sender_name,
                  coalesce(inserted.id, stored.id) as "id: MessageId",
                  coalesce(inserted.seq, stored.seq) as seq,
                  coalesce(inserted.created_at, stored.created_at) as created_at,
                  coalesce(inserted.id = input.id, false) as "is_new!",
                  (select jsonb_agg(jsonb_build_object(
                              'id', notified.id, 'recipient_type', u.role, 'recipient_id', notified.recipient_id,
                              'title', notified.title, 'message', notified.message, 'metadata', notified.metadata,
                              'created_at', notified.created_at))
                   from notified
                   join stm.users u on u.id = notified.recipient_id
                   where notified.metadata ->> 'messageId' = input.id::text) as "notifications: Json<Vec<NotificationRow>>"
           from input
           left join allowed on allowed.position = input.position
           left join inserted
                on inserted.chat_id = input.chat_id and inserted.sender_id = input.sender_id
                   and (inserted.id = input.id or inserted.client_message_id = input.client_message_id)
           left join stm.messages stored
                on allowed.position is not null and stored.chat_id = input.chat_id and stored.sender_id = input.sender_id
                   and stored.client_message_id = input.client_message_id
           order by input.position"#,
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
        let (Some(side), Some(sender_name)) = (row.side, row.sender_name) else { return Outcome::Forbidden };
        let (Some(id), Some(seq), Some(created_at)) = (row.id, row.seq, row.created_at) else {
            return if row.is_closed == Some(true) { Outcome::ChatClosed } else { Outcome::Forbidden };
        };
        let notifications = row.notifications.map(|Json(rows)| rows).unwrap_or_default();
        let notifications = notifications.into_iter().map(Into::into).collect();
        Outcome::Stored(Stored { id, seq, created_at: created_at.into(), is_new: row.is_new, sender_name, side, notifications })
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
