//! A chat's history through the pooler, and messages that come with a change of a job.

use super::{MessageType, MessageView};
use crate::types::{ChatId, MessageId, Side, UserId};
use doors::{Door, Pooler, Tx};

/// A part of a chat's history.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// Only messages after this `seq`: the oldest of them.
    pub after: Option<i64>,
    /// Only messages before this `seq`.
    pub before: Option<i64>,
    pub limit: i64,
}

/// Lists a part of a chat's history, oldest first; without `after`, its newest messages.
/// Returns `None` if the user is not a member.
pub(crate) async fn list_messages(
    pooler: &Pooler,
    chat: ChatId,
    user: UserId,
    window: Window,
) -> sqlx::Result<Option<Vec<MessageView>>> {
    let rows = sqlx::query!(
        r#"select id as "id: MessageId", seq, sender_type as "sender_type: Side", sender_id as "sender_id: UserId", sender_name,
                  message, message_type as "message_type: MessageType", created_at
           from stm.list_messages_v1($1, $2, $3, $4, $5)"#,
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

/// Adds a message to an open chat in which the sender is a member. Returns its `seq`, or `None` if the chat is closed or
/// the sender is not a member. Until the commit, everybody else who writes to the chat waits for its row lock.
pub(crate) async fn insert_message<D: Door>(
    tx: &mut Tx<D>,
    chat: ChatId,
    sender: UserId,
    side: Side,
    text: &str,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        "with chat as (
             update stm.chats c
             set last_seq = last_seq + 1
             where c.id = $1 and c.closed_at is null
               and exists (select from stm.chat_members m where m.chat_id = $1 and m.user_id = $2 and m.left_at is null)
             returning c.id, c.last_seq)
         insert into stm.messages (chat_id, seq, sender_id, sender_type, message)
         select id, last_seq, $2, $3, $4 from chat
         returning seq",
        chat.0,
        sender.0,
        side.as_str(),
        text,
    )
    .fetch_optional(tx)
    .await
}

/// Whether a user is a member of any chat.
pub(super) async fn is_member(pooler: &Pooler, user: UserId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from stm.chat_members where user_id = $1 and left_at is null) as "is_member!""#,
        user.0,
    )
    .fetch_one(pooler)
    .await
}
