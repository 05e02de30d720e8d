//! SQL of a provider's availability.

use super::http::{ConfirmedProviderView, ConfirmedView};
use crate::providers::ProviderStatus;
use crate::types::{ProviderId, UserId};
use doors::{Pooler, Tx};

/// A locked provider.
#[derive(Debug)]
pub(super) struct LockedRow {
    pub id: ProviderId,
    pub status: ProviderStatus,
}

/// Locks a user's provider row until the transaction ends, against bookings and changes of status. Returns `None` if
/// the user is not a provider.
pub(super) async fn lock(tx: &mut Tx<Pooler>, user_id: UserId) -> sqlx::Result<Option<LockedRow>> {
    sqlx::query_as!(
        LockedRow,
        r#"select id as "id: ProviderId", status as "status: ProviderStatus"
           from stm.providers
           where user_id = $1
           for no key update"#,
        user_id.0,
    )
    .fetch_optional(tx)
    .await
}

/// The number of a provider's jobs that are new or in progress. A separate statement after [`lock`]: under READ
/// COMMITTED the one that waited for the row lock still sees all other rows as of before the wait.
pub(super) async fn count_open_jobs(tx: &mut Tx<Pooler>, provider: ProviderId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "open!" from stm.jobs where provider_id = $1 and status in ('new', 'in_progress')"#,
        provider.0,
    )
    .fetch_one(tx)
    .await
}

/// Switches an active or inactive provider to `status`. A provider in any other state stays as it is.
pub(super) async fn set_status(tx: &mut Tx<Pooler>, provider: ProviderId, status: ProviderStatus) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.providers
         set status = $2, updated_at = now()
         where id = $1 and status in ('active', 'inactive') and status <> $2",
        provider.0,
        status.as_str(),
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Records that a provider confirms its availability now. Returns `None` if the user is not a provider, or is banned.
pub(super) async fn set_confirmed(tx: &mut Tx<Pooler>, user_id: UserId) -> sqlx::Result<Option<ConfirmedView>> {
    let row = sqlx::query!(
        r#"update stm.providers
           set last_availability_confirmed_at = now(), updated_at = now()
           where user_id = $1 and status <> 'banned'
           returning id as "id: ProviderId", business_name, status as "status: ProviderStatus",
                     last_availability_confirmed_at as "confirmed_at!""#,
        user_id.0,
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| {
        let confirmed_at = row.confirmed_at.into();
        ConfirmedView {
            success: true,
            message: "Availability confirmed",
            confirmed_at,
            provider: ConfirmedProviderView {
                id: row.id,
                business_name: row.business_name,
                status: row.status,
                last_availability_confirmed_at: confirmed_at,
            },
        }
    }))
}

/// Claims up to `limit` active providers who have not confirmed their availability for a week, and were not reminded today.
/// Returns their users.
pub(crate) async fn claim_unreminded(tx: &mut Tx<Pooler>, limit: i64) -> sqlx::Result<Vec<UserId>> {
    sqlx::query_scalar!(
        r#"update stm.providers p
           set availability_reminded_at = now()
           from (select id from stm.providers
                 where status = 'active'
                   and coalesce(last_availability_confirmed_at, '-infinity') < now() - interval '7 days'
                   and coalesce(availability_reminded_at, '-infinity') < now() - interval '1 day'
                 order by id
                 limit $1
                 for no key update skip locked) due
           where p.id = due.id
           returning p.user_id as "user_id: UserId""#,
        limit,
    )
    .fetch_all(tx)
    .await
}

/// The number of providers whom [`claim_unreminded`] would claim.
pub(crate) async fn count_unreminded(pooler: &Pooler) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from stm.providers
           where status = 'active'
             and coalesce(last_availability_confirmed_at, '-infinity') < now() - interval '7 days'
             and coalesce(availability_reminded_at, '-infinity') < now() - interval '1 day'"#
    )
    .fetch_one(pooler)
    .await
}
