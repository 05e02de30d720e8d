//! Lists of chats, through the pooler.

use super::{MessageType, MessageView};
use crate::types::{ChatId, CustomerId, JobId, JobStatus, MessageId, ProviderId, Side, Timestamp, UserId};
use doors::Pooler;

/// A chat in a member's list.
#[derive(Debug)]
pub(super) struct ChatRow {
    pub id: ChatId,
    pub created_at: Timestamp,
    pub job_id: JobId,
    pub job_status: JobStatus,
    pub service_name: String,
    pub service_category: String,
    pub provider_id: ProviderId,
    pub business_name: String,
    pub provider: PersonRow,
    pub customer_id: CustomerId,
    pub customer: PersonRow,
    /// The LSM who is a member; `None` without one.
    pub manager: Option<ManagerRow>,
    /// The newest message; `None` without any.
    pub last_message: Option<MessageView>,
    /// How many messages of others the member has not read; 0 once the chat is closed.
    pub unread: i64,
}

/// An LSM in a chat.
#[derive(Debug)]
pub(super) struct ManagerRow {
    pub id: i64,
    pub first_name: String,
    pub last_name: String,
}

/// A user as others see it.
#[derive(Debug)]
pub(super) struct PersonRow {
    pub id: UserId,
    pub first_name: String,
    pub last_name: String,
    /// The URL of a picture.
    pub profile_picture: Option<String>,
    /// When the user was last known to be online.
    pub last_seen_at: Option<Timestamp>,
}

/// Lists the chats in which a user is a member on this side, the most recent activity first: the last message, or the
/// creation of the chat.
pub(super) async fn list(
    pooler: &Pooler,
    user: UserId,
    side: Side,
    limit: i64,
    offset: i64,
) -> sqlx::Result<Vec<ChatRow>> {
    let rows = sqlx::query!(
        r#"select id as "id!: ChatId", created_at as "created_at!", job_id as "job_id!: JobId",
                  job_status as "job_status!: JobStatus", service_name as "service_name!",
                  service_category as "service_category!",
                  provider_id as "provider_id!: ProviderId", business_name as "business_name!",
                  provider_user_id as "provider_user_id!: UserId",
                  provider_first_name as "provider_first_name!",
                  provider_last_name as "provider_last_name!", provider_picture,
                  provider_last_seen_at, customer_id as "customer_id!: CustomerId",
                  customer_user_id as "customer_user_id!: UserId",
                  customer_first_name as "customer_first_name!",
                  customer_last_name as "customer_last_name!", customer_picture,
                  customer_last_seen_at, message_id as "message_id: MessageId", seq,
                  sender_type as "sender_type: Side", sender_id as "sender_id: UserId", sender_name,
                  manager_id, manager_first_name, manager_last_name, message,
                  message_type as "message_type: MessageType", sent_at, unread as "unread!"
           from stm.list_chats_v1($1, $2, $3, $4)"#,
        user.0,
        side.as_str(),
        limit,
        offset,
    )
    .fetch_all(pooler)
    .await?;
    let chats = rows.into_iter().map(|row| ChatRow {
        id: row.id,
        created_at: row.created_at.into(),
        job_id: row.job_id,
        job_status: row.job_status,
        service_name: row.service_name,
        service_category: row.service_category,
        provider_id: row.provider_id,
        business_name: row.business_name,
        provider: PersonRow {
            id: row.provider_user_id,
            first_name: row.provider_first_name,
            last_name: row.provider_last_name,
            profile_picture: row.provider_picture,
            last_seen_at: row.provider_last_seen_at.map(Into::into),
        },
        customer_id: row.customer_id,
        customer: PersonRow {
            id: row.customer_user_id,
            first_name: row.customer_first_name,
            last_name: row.customer_last_name,
            profile_picture: row.customer_picture,
            last_seen_at: row.customer_last_seen_at.map(Into::into),
        },
        manager: row.manager_id.and_then(|id| {
            Some(ManagerRow { id, first_name: row.manager_first_name?, last_name: row.manager_last_name? })
        }),
        last_message: row.message_id.zip(row.seq).and_then(|(id, seq)| {
            Some(MessageView {
                id,
                seq,
                sender_type: row.sender_type?,
                sender_id: row.sender_id?,
                sender_name: row.sender_name?,
                message: row.message?,
                message_type: row.message_type?,
                created_at: row.sent_at?.into(),
            })
        }),
        unread: row.unread,
    });
    Ok(chats.collect())
}
