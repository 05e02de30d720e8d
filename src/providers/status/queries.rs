//! SQL of a provider's status, and of its audit rows.

use super::rules::{Actor, Command, ProviderState};
use crate::error::Error;
use crate::providers::ProviderStatus;
use crate::types::{JobId, ProviderId, UserId};
use doors::{Pooler, Tx};

/// A provider that is locked until the transaction ends, against bookings and changes of status.
#[derive(Debug)]
pub(crate) struct LockedProvider {
    pub id: ProviderId,
    pub status: ProviderStatus,
    pub user_id: UserId,
    pub business_name: String,
    pub(super) email: String,
    pub(super) is_closed: bool,
    /// The LSM's user.
    pub(super) lsm_user_id: UserId,
}

impl LockedProvider {
    pub(super) const fn state(&self, facts: &Facts) -> ProviderState {
        let Facts { open_jobs, documents_suffice } = *facts;
        ProviderState { status: self.status, open_jobs, documents_suffice, is_closed: self.is_closed }
    }

    /// Checks that the status allows a ban, open jobs apart.
    ///
    /// # Errors
    /// 409 it does not.
    pub(crate) fn check_bannable(&self) -> Result<(), Error> {
        self.state(&Facts { open_jobs: 0, documents_suffice: true }).apply(Actor::Admin, Command::Ban).map(drop)
    }
}

/// Locks a provider.
pub(crate) async fn lock(tx: &mut Tx<Pooler>, id: ProviderId) -> sqlx::Result<Option<LockedProvider>> {
    lock_where(tx, Some(id), None, None).await
}

/// Locks a provider of an active LSM. Returns `None` if there is no such provider, or it is another LSM's.
pub(crate) async fn lock_of_lsm(
    tx: &mut Tx<Pooler>,
    id: ProviderId,
    lsm: UserId,
) -> sqlx::Result<Option<LockedProvider>> {
    lock_where(tx, Some(id), Some(lsm), None).await
}

/// Locks the provider that a user is. Returns `None` if the user is none.
pub(crate) async fn lock_of_user(tx: &mut Tx<Pooler>, user: UserId) -> sqlx::Result<Option<LockedProvider>> {
    lock_where(tx, None, None, Some(user)).await
}

async fn lock_where(
    tx: &mut Tx<Pooler>,
    id: Option<ProviderId>,
    lsm: Option<UserId>,
    user: Option<UserId>,
) -> sqlx::Result<Option<LockedProvider>> {
    sqlx::query_as!(
        LockedProvider,
        r#"select p.id as "id: ProviderId", p.status as "status: ProviderStatus", p.user_id as "user_id: UserId",
                  p.business_name, u.email, u.closed_at is not null as "is_closed!", l.user_id as "lsm_user_id: UserId"
           from stm.providers p
           join stm.users u on u.id = p.user_id
           join stm.local_service_managers l on l.id = p.lsm_id
           where ($1::bigint is null or p.id = $1)
             and ($2::bigint is null or l.user_id = $2 and l.status = 'active')
             and ($3::bigint is null or p.user_id = $3)
             and num_nonnulls($1, $3) = 1
           for no key update of p"#,
        id.map(|id| id.0),
        lsm.map(|id| id.0),
        user.map(|id| id.0),
    )
    .fetch_optional(tx)
    .await
}

/// What a provider's status depends on.
#[derive(Debug)]
pub(super) struct Facts {
    /// Jobs that are new or in progress.
    pub open_jobs: i64,
    /// Whether there are documents, and all are verified; or the settings ask for none.
    pub documents_suffice: bool,
}

/// Reads what the status of a locked provider depends on.
pub(super) async fn find_facts(tx: &mut Tx<Pooler>, provider: ProviderId) -> sqlx::Result<Facts> {
    sqlx::query_as!(
        Facts,
        r#"select (select count(*) from stm.jobs j where j.provider_id = $1 and j.status in ('new', 'in_progress'))
                      as "open_jobs!",
                  not s.require_documents
                  or (select count(*) > 0 and bool_and(d.status = 'verified')
                      from stm.provider_documents d where d.provider_id = $1) as "documents_suffice!"
           from stm.settings s"#,
        provider.0,
    )
    .fetch_one(tx)
    .await
}

/// Changes the status of a provider that still has the one it was locked with, bars its user or lifts that, and inserts
/// the audit row. Returns `false` if the status has changed.
pub(super) async fn set_status(
    tx: &mut Tx<Pooler>,
    provider: &LockedProvider,
    to: ProviderStatus,
    command: Command,
    by: UserId,
    reason: Option<&str>,
) -> sqlx::Result<bool> {
    let changed = sqlx::query!(
        "with changed as (
             update stm.providers
             set status = $3, rejection_reason = case when $3 = 'rejected' then $6 end, updated_at = now()
             where id = $1 and status = $2
               and exists (select from stm.users u where u.id = user_id and u.closed_at is null)
             returning id, user_id
         ), barred as (
             update stm.users u
             set banned_at = case when $3 = 'banned' then now() end, ban_reason = case when $3 = 'banned' then $6 end,
                 banned_by = case when $3 = 'banned' then $5::bigint end, updated_at = now()
             from changed
             where u.id = changed.user_id and 'banned' in ($2, $3)
         )
         insert into stm.provider_events (provider_id, actor_id, action, from_status, to_status, reason)
         select id, $5, $4, $2, $3, $6 from changed",
        provider.id.0,
        provider.status.as_str(),
        to.as_str(),
        command.as_str(),
        by.0,
        reason,
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// An open job of a provider.
#[derive(Debug)]
pub(super) struct OpenJob {
    pub id: JobId,
    pub customer_user_id: UserId,
    pub service: String,
    /// Not agreed upon: the customer may give it to another provider.
    pub is_new: bool,
}

/// The jobs of a provider that are new or in progress.
pub(super) async fn list_open_jobs(tx: &mut Tx<Pooler>, provider: ProviderId) -> sqlx::Result<Vec<OpenJob>> {
    sqlx::query_as!(
        OpenJob,
        r#"select j.id as "id: JobId", c.user_id as "customer_user_id: UserId", s.name as service,
                  j.status = 'new' as "is_new!"
           from stm.jobs j
           join stm.customers c on c.id = j.customer_id
           join stm.services s on s.id = j.service_id
           where j.provider_id = $1 and j.status in ('new', 'in_progress')
           order by j.id"#,
        provider.0,
    )
    .fetch_all(tx)
    .await
}
