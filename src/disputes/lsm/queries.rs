//! SQL of disputes for the LSM who resolves them.

use super::http::{
    DisputeListedView, DisputeMessageView, DisputePartyView, DisputeView, DisputedJobView, DisputedProviderView,
};
use crate::chat::{self, MessageType};
use crate::disputes::DisputeStatus;
use crate::disputes::types::{DisputeChatView, DisputeProgress};
use crate::error::Error;
use crate::files::FileUrls;
use crate::types::{Cents, ChatId, DisputeId, JobId, JobStatus, MessageId, Party, ProviderId, Side, Timestamp, UserId};
use crate::web::page::PageRequest;
use doors::{Pooler, Tx};

/// A dispute that is about to change.
#[derive(Debug)]
pub(super) struct LockedDisputeRow {
    pub status: DisputeStatus,
    pub job_id: JobId,
    pub job_status: JobStatus,
    pub service: String,
    pub customer_user_id: UserId,
    pub provider_user_id: UserId,
    /// The chat of both, unless it is closed.
    pub chat_id: Option<ChatId>,
}

impl LockedDisputeRow {
    /// Checks that the dispute is open.
    ///
    /// # Errors
    /// 409 it is resolved.
    pub(super) fn check_open(&self) -> Result<(), Error> {
        match self.status {
            DisputeStatus::Open => Ok(()),
            DisputeStatus::Resolved => {
                Err(Error::Conflict("dispute_resolved", "this dispute is resolved already".into()))
            }
        }
    }
}

/// Locks a dispute until the transaction ends. Returns `None` if there is no such dispute, or it is about another LSM's
/// provider.
pub(super) async fn lock(tx: &mut Tx<Pooler>, id: DisputeId, lsm: UserId) -> sqlx::Result<Option<LockedDisputeRow>> {
    // The LSM first, in a statement of its own, as a replacement does: the next one sees whose the provider is by then.
    if sqlx::query!(
        "select id from stm.local_service_managers where user_id = $1 and status = 'active' for share",
        lsm.0
    )
    .fetch_optional(&mut *tx)
    .await?
    .is_none()
    {
        return Ok(None);
    }
    sqlx::query_as!(
        LockedDisputeRow,
        r#"select d.status as "status: DisputeStatus", j.id as "job_id: JobId", j.status as "job_status: JobStatus",
                  s.name as service, c.user_id as "customer_user_id: UserId", p.user_id as "provider_user_id: UserId",
                  (select ch.id from stm.chats ch where ch.job_id = j.id and ch.closed_at is null order by ch.id desc limit 1)
                      as "chat_id: ChatId"
           from stm.disputes d
           join stm.jobs j on j.id = d.job_id
           join stm.services s on s.id = j.service_id
           join stm.customers c on c.id = j.customer_id
           join stm.providers p on p.id = j.provider_id
           join stm.local_service_managers l on l.id = p.lsm_id and l.status = 'active'
           where d.id = $1 and l.user_id = $2
           for no key update of d"#,
        id.0,
        lsm.0,
    )
    .fetch_optional(tx)
    .await
}

/// Resolves an open dispute.
pub(super) async fn resolve(tx: &mut Tx<Pooler>, id: DisputeId, by: UserId, notes: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.disputes set status = 'resolved', resolution_notes = $3, resolved_by = $2, resolved_at = now()
         where id = $1 and status = 'open'",
        id.0,
        by.0,
        notes,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// A selection of the disputes.
#[derive(Debug, Clone, Copy)]
pub(super) enum DisputeFilter {
    Id(DisputeId),
    Status(DisputeStatus),
    /// Those that are open, and whose chat the LSM has joined.
    UnderReview,
}

impl DisputeFilter {
    const fn id_and_status(self) -> (Option<DisputeId>, Option<DisputeStatus>) {
        match self {
            Self::Id(id) => (Some(id), None),
            Self::Status(status) => (None, Some(status)),
            Self::UnderReview => (None, Some(DisputeStatus::Open)),
        }
    }
}

/// The disputes about an LSM's providers, newest first, and how many there are.
pub(super) async fn list(
    pooler: &Pooler,
    lsm: UserId,
    filter: Option<DisputeFilter>,
    page: PageRequest,
) -> sqlx::Result<(Vec<DisputeListedView>, i64)> {
    let (id, status) = filter.map_or((None, None), DisputeFilter::id_and_status);
    let under_review = matches!(filter, Some(DisputeFilter::UnderReview));
    let rows = sqlx::query!(
        r#"select d.id as "id: DisputeId", d.status as "status: DisputeStatus", d.description, d.resolution_notes, d.created_at,
                  d.resolved_at, j.id as "job_id: JobId", s.name as service, s.category, j.status as "job_status: JobStatus",
                  j.price_cents, j.scheduled_at, j.completed_at,
                  cu.first_name || ' ' || cu.last_name as "customer_name!", cu.email as customer_email,
                  coalesce(cu.phone_number, '') as "customer_phone!",
                  p.id as "provider_id: ProviderId", p.business_name, pu.first_name || ' ' || pu.last_name as "owner_name!",
                  pu.email as provider_email, coalesce(pu.phone_number, '') as "provider_phone!", chat.id as "chat_id?: ChatId",
                  coalesce(chat.is_open, false) as "chat_is_open!", coalesce(chat.has_joined, false) as "has_joined_chat!",
                  count(*) over () as "total!"
           from stm.disputes d
           join stm.jobs j on j.id = d.job_id
           join stm.services s on s.id = j.service_id
           join stm.customers c on c.id = j.customer_id
           join stm.users cu on cu.id = c.user_id
           join stm.providers p on p.id = j.provider_id
           join stm.users pu on pu.id = p.user_id
           join stm.local_service_managers l on l.id = p.lsm_id and l.status = 'active'
           left join lateral (
               select ch.id, ch.closed_at is null as is_open,
                      exists (select from stm.chat_members m where m.chat_id = ch.id and m.user_id = $1 and m.left_at is null)
                          as has_joined
               from stm.chats ch where ch.job_id = j.id order by ch.id desc limit 1
           ) chat on true
           where l.user_id = $1 and ($2::bigint is null or d.id = $2) and ($3::text is null or d.status = $3)
             and (not $4 or chat.has_joined)
           order by d.id desc
           limit $5 offset $6"#,
        lsm.0,
        id.map(|id| id.0),
        status.map(DisputeStatus::as_str),
        under_review,
        page.limit,
        page.offset(),
    )
    .fetch_all(pooler)
    .await?;
    let total = match rows.first() {
        Some(row) => row.total,
        None if page.page == 1 => 0,
        // Beyond the last page there is no row to count beside: the first page has one.
        None => Box::pin(list(pooler, lsm, filter, PageRequest { page: 1, limit: 1 })).await?.1,
    };
    let disputes = rows.into_iter().map(|row| DisputeListedView {
        dispute: DisputeView {
            id: row.id,
            status: DisputeProgress::new(row.status, row.has_joined_chat),
            raised_by: Party::Customer,
            description: row.description,
            resolution_notes: row.resolution_notes,
            created_at: Timestamp(row.created_at),
            resolved_at: row.resolved_at.map(Timestamp),
        },
        job: DisputedJobView {
            id: row.job_id,
            service: row.service,
            category: row.category,
            status: row.job_status,
            price: Cents(row.price_cents),
            scheduled_at: row.scheduled_at.map(Timestamp),
            completed_at: row.completed_at.map(Timestamp),
        },
        customer: DisputePartyView { name: row.customer_name, email: row.customer_email, phone: row.customer_phone },
        provider: DisputedProviderView {
            id: row.provider_id,
            business_name: row.business_name,
            owner_name: row.owner_name,
            email: row.provider_email,
            phone: row.provider_phone,
        },
        chat_status: row.chat_id.map(|chat_id| DisputeChatView {
            chat_id,
            lsm_invited: row.status == DisputeStatus::Open && row.chat_is_open,
            lsm_joined: row.has_joined_chat,
        }),
    });
    Ok((disputes.collect(), total))
}

/// The last messages of the chat of a dispute, oldest first, at most `limit`: those from before its resolution, because
/// the LSM leaves with it.
pub(super) async fn list_messages(
    pooler: &Pooler,
    urls: &FileUrls,
    chat: ChatId,
    dispute: DisputeId,
    limit: i64,
) -> sqlx::Result<Vec<DisputeMessageView>> {
    let rows = sqlx::query!(
        r#"select m.id as "id: MessageId", m.sender_type as "sender_type: Side",
                  u.first_name || ' ' || u.last_name as "sender_name!", m.message,
                  m.message_type as "message_type: MessageType", m.created_at
           from (select m.id, m.seq, m.sender_id, m.sender_type, m.message, m.message_type, m.created_at
                 from stm.messages m
                 where m.chat_id = $1
                   and m.created_at <= coalesce((select d.resolved_at from stm.disputes d where d.id = $2), 'infinity')
                 order by m.seq desc
                 limit $3) m
           join stm.users u on u.id = m.sender_id
           order by m.seq"#,
        chat.0,
        dispute.0,
        limit,
    )
    .fetch_all(pooler)
    .await?;
    let messages = rows.into_iter().map(|row| DisputeMessageView {
        id: row.id,
        sender_type: row.sender_type,
        sender_name: row.sender_name,
        message: chat::with_urls(row.message, row.message_type, chat, urls),
        message_type: row.message_type,
        created_at: Timestamp(row.created_at),
    });
    Ok(messages.collect())
}
