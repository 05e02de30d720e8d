//! The statement that stores messages, over the direct connection: what goes in, and what comes of it.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use sqlx::types::Json;

use crate::chat::MessageType;
use crate::notifications::{NotificationType, NotificationView};
use crate::types::{ChatId, MessageId, NotificationId, Role, Side, Timestamp, UserId};
use doors::Direct;

/// A message to be stored.
#[derive(Debug)]
pub struct NewMessage {
    /// The id that it is stored under.
    pub id: MessageId,
    pub chat_id: ChatId,
    pub sender_id: UserId,
    /// The sender's own name for it: the same one again is the same message.
    pub client_message_id: Option<String>,
    /// The text, or a URL.
    pub message: String,
    pub message_type: MessageType,
}

/// A user in a chat, who needs no notification.
#[derive(Debug, Clone, Copy)]
pub struct Present {
    pub chat_id: ChatId,
    pub user_id: UserId,
}

/// The outcome of a message.
#[derive(Debug)]
pub enum SendOutcome {
    /// It is committed.
    Stored(StoredMessage),
    /// Its sender is not a member, or there is no such chat.
    Forbidden,
    /// Its chat takes no more messages.
    ChatClosed,
    /// Another message is stored under its `clientMessageId`.
    Conflict,
}

/// A committed message.
#[derive(Debug)]
pub struct StoredMessage {
    /// The id of the first message under the same clientMessageId.
    pub id: MessageId,
    pub seq: i64,
    pub created_at: Timestamp,
    /// Whether it was stored just now, and not by an earlier send of the same clientMessageId.
    pub is_new: bool,
    /// The sender's first and last name.
    pub sender_name: String,
    /// The sender's side.
    pub side: Side,
    /// The members of the chat at the moment of the commit, for whom it is meant.
    pub members: Vec<UserId>,
    /// The notifications of the other members.
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

/// Stores messages. Returns the outcomes in the order of the messages.
///
/// One statement, and so one transaction and one round trip. It locks the chats in the order of their ids, so that two
/// batches cannot deadlock. It checks membership and that the chat is open, and recognises what is stored already.
/// It numbers the rest in the order of their arrival, and notifies the members who are not `present`.
///
/// # Errors
/// Those of the database. After the loss of the connection the outcome is unknown.
pub async fn insert_messages(
    direct: &Direct,
    messages: &[&NewMessage],
    present: &[Present],
) -> sqlx::Result<Vec<SendOutcome>> {
    let ids: Vec<_> = messages.iter().map(|message| message.id.0).collect();
    let chats: Vec<_> = messages.iter().map(|message| message.chat_id.0).collect();
    let senders: Vec<_> = messages.iter().map(|message| message.sender_id.0).collect();
    let client_ids: Vec<_> = messages.iter().map(|message| message.client_message_id.clone()).collect();
    let texts: Vec<_> = messages.iter().map(|message| message.message.clone()).collect();
    let types: Vec<_> = messages.iter().map(|message| message.message_type.as_str().to_owned()).collect();
    let present_chats: Vec<_> = present.iter().map(|present| present.chat_id.0).collect();
    let present_users: Vec<_> = present.iter().map(|present| present.user_id.0).collect();
    let rows = sqlx::query_file!(
        "src/chat/live/insert_messages.sql",
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
            (Some(_), _, Some(_), Some(_)) if row.is_conflict => SendOutcome::Conflict,
            (Some(side), Some(sender_name), Some(id), Some(seq)) => SendOutcome::Stored(StoredMessage {
                id,
                seq,
                created_at: row.created_at.into(),
                is_new: row.is_new,
                sender_name,
                side,
                members: row.member_ids,
                notifications: if row.is_new { notifications.remove(&id).unwrap_or_default() } else { Vec::new() },
            }),
            (Some(_), ..) if row.is_closed => SendOutcome::ChatClosed,
            _ => SendOutcome::Forbidden,
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
