//! Rows of disputes.

use chrono::{DateTime, Utc};

use super::DisputeStatus;
use crate::error::Error;
use crate::types::{ChatId, DisputeId, JobId, JobStatus, ProviderId, UserId};
use crate::web::page::PageRequest;
use doors::{Pooler, Tx};

/// Inserts an open dispute. `None`: the job has one.
///
/// # Errors
/// Those of the database.
pub async fn insert(tx: &mut Tx<Pooler>, job: JobId, lsm: i64, description: &str) -> sqlx::Result<Option<DisputeId>> {
    sqlx::query_scalar!(
        r#"insert into stm.disputes (job_id, lsm_id, description) values ($1, $2, $3)
           on conflict (job_id) where status = 'open' do nothing
           returning id as "id: DisputeId""#,
        job.0,
        lsm,
        description,
    )
    .fetch_optional(tx)
    .await
}

/// A dispute that is about to change.
#[derive(Debug)]
pub struct LockedDisputeRow {
    /// Open or resolved.
    pub status: DisputeStatus,
    /// About which job.
    pub job_id: JobId,
    /// Where the job is.
    pub job_status: JobStatus,
    /// The service's name.
    pub service: String,
    /// The customer's user.
    pub customer_user_id: UserId,
    /// The provider's user.
    pub provider_user_id: UserId,
    /// The chat of both, unless it is closed.
    pub chat_id: Option<ChatId>,
}

impl LockedDisputeRow {
    /// # Errors
    /// 409 the dispute is resolved.
    pub fn check_open(&self) -> Result<(), Error> {
        match self.status {
            DisputeStatus::Open => Ok(()),
            DisputeStatus::Resolved => {
                Err(Error::Conflict("dispute_resolved", "this dispute is resolved already".into()))
            }
        }
    }
}

/// Locks a dispute until the transaction ends. `None`: there is no such dispute, or it is about another LSM's provider.
///
/// # Errors
/// Those of the database.
pub async fn lock(tx: &mut Tx<Pooler>, id: DisputeId, lsm: UserId) -> sqlx::Result<Option<LockedDisputeRow>> {
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

/// Makes the LSM a member of a chat, if it is not one.
///
/// # Errors
/// Those of the database.
pub async fn join(tx: &mut Tx<Pooler>, chat: ChatId, lsm: UserId) -> sqlx::Result<()> {
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

/// Ends the membership of every LSM in a chat.
///
/// # Errors
/// Those of the database.
pub async fn leave(tx: &mut Tx<Pooler>, chat: ChatId) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.chat_members set left_at = now()
         where chat_id = $1 and side = 'local_service_manager' and left_at is null",
        chat.0,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Settles an open dispute.
///
/// # Errors
/// Those of the database.
pub async fn resolve(tx: &mut Tx<Pooler>, id: DisputeId, by: UserId, notes: &str) -> sqlx::Result<()> {
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

/// Which disputes.
#[derive(Debug)]
pub struct DisputeFilter {
    /// Only this one.
    pub id: Option<DisputeId>,
    /// Only in this state.
    pub status: Option<DisputeStatus>,
    /// Which page of them.
    pub page: PageRequest,
}

/// A dispute, and what it is about.
#[derive(Debug)]
pub struct DisputeRow {
    /// Id.
    pub id: DisputeId,
    /// Open or resolved.
    pub status: DisputeStatus,
    /// In the customer's words.
    pub description: String,
    /// In the LSM's.
    pub resolution_notes: Option<String>,
    /// When it was filed.
    pub created_at: DateTime<Utc>,
    /// When it was settled.
    pub resolved_at: Option<DateTime<Utc>>,
    /// About which job.
    pub job_id: JobId,
    /// The service's name.
    pub service: String,
    /// The service's category.
    pub category: String,
    /// Where the job is.
    pub job_status: JobStatus,
    /// In cents.
    pub price_cents: i64,
    /// When it was to be done.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// When it was done.
    pub completed_at: Option<DateTime<Utc>>,
    /// First and last name.
    pub customer_name: String,
    /// E.164.
    pub customer_phone: Option<String>,
    /// Whose work it is.
    pub provider_id: ProviderId,
    /// The name of the business.
    pub business_name: String,
    /// Its owner's first and last name.
    pub owner_name: String,
    /// E.164.
    pub provider_phone: Option<String>,
    /// The chat of both parties.
    pub chat_id: Option<ChatId>,
    /// Is the LSM in it?
    pub has_joined_chat: bool,
    /// How many such disputes there are.
    total: i64,
}

/// The disputes about an LSM's providers, newest first, and how many there are.
///
/// # Errors
/// Those of the database.
pub async fn list(pooler: &Pooler, lsm: UserId, filter: DisputeFilter) -> sqlx::Result<(Vec<DisputeRow>, i64)> {
    let rows = sqlx::query_as!(
        DisputeRow,
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
    Ok((rows, total))
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
