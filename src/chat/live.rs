//! The sockets' statements: chats and messages over the direct connection.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use sqlx::types::Json;
use uuid::Uuid;

use super::{MessageType, MessageView};
use crate::notifications::{NotificationType, NotificationView};
use crate::types::{ChatId, MessageId, NotificationId, Role, Side, Timestamp, UserId};
use doors::Direct;

/// May this user use the chat: does the account exist, is it not banned, and is the login not revoked?
///
/// # Errors
/// Those of the database.
pub async fn is_allowed_in(direct: &Direct, user: UserId, login: Option<Uuid>) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from stm.users where id = $1 and banned_at is null)
                  and not exists (select from stm.refresh_tokens where family_id = $2 and revoked_at is not null)
                  as "is_allowed!""#,
        user.0,
        login,
    )
    .fetch_one(direct)
    .await
}

/// What a member finds who joins a chat.
#[derive(Debug)]
pub struct Found {
    /// The `seq` of the last message; 0 without any.
    pub last_seq: i64,
    /// Does it take no more messages?
    pub is_closed: bool,
    /// What the member's sockets had been given when the last of them dropped, if that was a moment ago.
    pub resume_after: Option<i64>,
    /// With a cursor: what came after it, oldest first.
    pub messages: Vec<MessageView>,
}

/// From where to go on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    /// The client's own cursor: messages after it are read.
    pub after: Option<i64>,
    /// At most so many.
    pub limit: i64,
    /// What the member's sockets had been given, if this process knows it.
    pub dropped_at_seq: Option<i64>,
    /// What was given after this moment may be lost.
    pub silent_since: Option<DateTime<Utc>>,
}

/// Reads what a member who joins a chat finds, in one statement and so at one moment.
/// `None`: the user is not a member, or there is no such chat.
///
/// # Errors
/// Those of the database.
pub async fn find_for_joining(
    direct: &Direct,
    chat: ChatId,
    user: UserId,
    reading: Reading,
) -> sqlx::Result<Option<Found>> {
    let rows = sqlx::query!(
        r#"with membership as (
               select c.last_seq, c.closed_at is not null as is_closed,
                      case when $5::bigint is not null then least($5, coalesce((
                                    select m.seq from stm.messages m
                                    where m.chat_id = $1 and ($6::timestamptz is null or m.created_at < $6)
                                    order by m.seq desc limit 1), 0))
                           when member.dropped_at between now() - interval '2 minutes' and now() then member.delivered_seq
                      end as resume_after
               from stm.chat_members member
               join stm.chats c on c.id = member.chat_id
               where member.chat_id = $1 and member.user_id = $2 and member.left_at is null
           ), page as (
               select m.*
               from stm.messages m
               where $3::bigint is not null and m.chat_id = $1 and m.seq > $3
               order by m.seq
               limit $4
           )
           select membership.last_seq, membership.is_closed as "is_closed!", membership.resume_after,
                  page.id as "id?: MessageId", page.seq as "seq?", page.sender_type as "sender_type?: Side",
                  page.sender_id as "sender_id?: UserId", u.first_name || ' ' || u.last_name as sender_name,
                  page.message as "message?", page.message_type as "message_type?: MessageType",
                  page.created_at as "created_at?"
           from membership
           left join page on true
           left join stm.users u on u.id = page.sender_id
           order by page.seq"#,
        chat.0,
        user.0,
        reading.after,
        reading.limit,
        reading.dropped_at_seq,
        reading.silent_since,
    )
    .fetch_all(direct)
    .await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let (last_seq, is_closed, resume_after) = (first.last_seq, first.is_closed, first.resume_after);
    // Without messages there is one row, with nulls for them.
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
    Ok(Some(Found { last_seq, is_closed, resume_after, messages: messages.collect() }))
}

/// Messages after a `seq`: at most `limit`, oldest first.
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

/// What became of a read mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marked {
    /// The member has read up to this `seq`.
    Read(i64),
    /// Not a member, or there is no such chat.
    Forbidden,
    /// The chat is closed.
    ChatClosed,
}

/// Stores that members have read chats up to a `seq`, never less far than before and never beyond the end; the
/// answers are in the order of `marks`, which name each member once.
///
/// # Errors
/// Those of the database.
pub async fn set_read(direct: &Direct, marks: &[(ChatId, UserId, i64)]) -> sqlx::Result<Vec<Marked>> {
    let chats: Vec<_> = marks.iter().map(|mark| mark.0.0).collect();
    let users: Vec<_> = marks.iter().map(|mark| mark.1.0).collect();
    let seqs: Vec<_> = marks.iter().map(|mark| mark.2).collect();
    let rows = sqlx::query!(
        r#"with input as (
               select * from unnest($1::uuid[], $2::bigint[], $3::bigint[]) with ordinality
                    as input (chat_id, user_id, seq, position)
           ), locked as materialized (
               select member.chat_id, member.user_id
               from stm.chat_members member
               join input on input.chat_id = member.chat_id and input.user_id = member.user_id
               where member.left_at is null
               order by member.chat_id, member.user_id
               for no key update of member
           ), marked as (
               update stm.chat_members member
               set last_read_seq = greatest(member.last_read_seq, least(input.seq, c.last_seq))
               from input
               join locked on locked.chat_id = input.chat_id and locked.user_id = input.user_id
               join stm.chats c on c.id = input.chat_id and c.closed_at is null
               where member.chat_id = input.chat_id and member.user_id = input.user_id
               returning input.position, member.last_read_seq
           )
           select marked.last_read_seq as "seq?", locked.user_id is not null as "is_member!"
           from input
           left join marked on marked.position = input.position
           left join locked on locked.chat_id = input.chat_id and locked.user_id = input.user_id
           order by input.position"#,
        &chats,
        &users,
        &seqs,
    )
    .fetch_all(direct)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| match row.seq {
            Some(seq) => Marked::Read(seq),
            None if row.is_member => Marked::ChatClosed,
            None => Marked::Forbidden,
        })
        .collect())
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
    message_id: MessageId,
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

    let mut notifications = HashMap::<MessageId, Vec<NotificationView>>::new();
    let mut outcomes = Vec::with_capacity(rows.len());
    for row in rows {
        for notification in row.notifications.map(|Json(rows)| rows).unwrap_or_default() {
            notifications.entry(notification.message_id).or_default().push(notification.into());
        }
        let outcome = match (row.side, row.sender_name, row.id, row.seq) {
            (Some(side), Some(sender_name), Some(id), Some(seq)) => Outcome::Stored(Stored {
                id,
                seq,
                created_at: row.created_at.into(),
                is_new: row.is_new,
                sender_name,
                side,
                notifications: if row.is_new { notifications.remove(&id).unwrap_or_default() } else { Vec::new() },
            }),
            (Some(_), ..) if row.is_closed => Outcome::ChatClosed,
            _ => Outcome::Forbidden,
        };
        outcomes.push(outcome);
    }
    Ok(outcomes)
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
