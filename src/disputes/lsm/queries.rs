//! SQL of disputes for the LSM who resolves them.

use super::http::{DisputePartyView, DisputeView, DisputedJobView, DisputedProviderView};
use crate::disputes::DisputeStatus;
use crate::error::Error;
use crate::types::{Cents, ChatId, DisputeId, JobId, JobStatus, ProviderId, Timestamp, UserId};
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
#[derive(Debug)]
pub(super) struct DisputeFilter {
    pub id: Option<DisputeId>,
    pub status: Option<DisputeStatus>,
    pub page: PageRequest,
}

/// The disputes about an LSM's providers, newest first, and how many there are.
pub(super) async fn list(pooler: &Pooler, lsm: UserId, filter: DisputeFilter) -> sqlx::Result<(Vec<DisputeView>, i64)> {
    let rows = sqlx::query!(
        r#"select d.id as "id: DisputeId", d.status as "status: DisputeStatus", d.description, d.resolution_notes, d.created_at,
                  d.resolved_at, j.id as "job_id: JobId", s.name as service, s.category, j.status as "job_status: JobStatus",
                  j.price_cents, j.scheduled_at, j.completed_at,
                  cu.first_name || ' ' || cu.last_name as "customer_name!", cu.phone_number as customer_phone,
                  p.id as "provider_id: ProviderId", p.business_name, pu.first_name || ' ' || pu.last_name as "owner_name!",
                  pu.phone_number as provider_phone, chat.id as "chat_id?: ChatId",
                  exists (select from stm.chat_members m where m.chat_id = chat.id and m.user_id = $1 and m.left_at is null)
                      as "has_joined_chat!",
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
               select ch.id from stm.chats ch where ch.job_id = j.id order by ch.id desc limit 1
           ) chat on true
           where l.user_id = $1 and ($2::bigint is null or d.id = $2) and ($3::text is null or d.status = $3)
           order by d.id desc
           limit $4 offset $5"#,
        lsm.0,
        filter.id.map(|id| id.0),
        filter.status.map(DisputeStatus::as_str),
        filter.page.limit,
        filter.page.offset(),
    )
    .fetch_all(pooler)
    .await?;
    let total = match rows.first() {
        Some(row) => row.total,
        None if filter.page.page == 1 => 0,
        // Beyond the last page there is no row to count beside.
        None => count(pooler, lsm, filter.status).await?,
    };
    let disputes = rows.into_iter().map(|row| DisputeView {
        id: row.id,
        status: row.status,
        description: row.description,
        resolution_notes: row.resolution_notes,
        job: DisputedJobView {
            id: row.job_id,
            service: row.service,
            category: row.category,
            status: row.job_status,
            price: Cents(row.price_cents),
            scheduled_at: row.scheduled_at.map(Timestamp),
            completed_at: row.completed_at.map(Timestamp),
        },
        customer: DisputePartyView { name: row.customer_name, phone: row.customer_phone },
        provider: DisputedProviderView {
            id: row.provider_id,
            business_name: row.business_name,
            owner_name: row.owner_name,
            phone: row.provider_phone,
        },
        chat_id: row.chat_id,
        has_joined_chat: row.has_joined_chat,
        created_at: Timestamp(row.created_at),
        resolved_at: row.resolved_at.map(Timestamp),
    });
    Ok((disputes.collect(), total))
}

async fn count(pooler: &Pooler, lsm: UserId, status: Option<DisputeStatus>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!"
           from stm.disputes d
           join stm.jobs j on j.id = d.job_id
           join stm.providers p on p.id = j.provider_id
           join stm.local_service_managers l on l.id = p.lsm_id and l.status = 'active'
           where l.user_id = $1 and ($2::text is null or d.status = $2)"#,
        lsm.0,
        status.map(DisputeStatus::as_str),
    )
    .fetch_one(pooler)
    .await
}
