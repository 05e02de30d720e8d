//! Whether a provider takes bookings.

use chrono::{DateTime, Utc};

use super::ProviderStatus;
use crate::db::{Pooler, Tx};
use crate::types::{ProviderId, UserId};

/// A locked provider.
#[derive(Debug)]
pub struct LockedRow {
    /// The provider.
    pub id: ProviderId,
    /// State.
    pub status: ProviderStatus,
}

/// Locks a user's provider row until the transaction ends, against bookings and changes of status.
/// `None`: this user is not a provider.
///
/// # Errors
/// Those of the database.
pub async fn lock(tx: &mut Tx<Pooler>, user_id: UserId) -> sqlx::Result<Option<LockedRow>> {
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

/// How many of a provider's jobs are new or in progress. A statement of its own after [`lock`], because one
/// statement sees nothing that was committed while it waited for the lock.
///
/// # Errors
/// Those of the database.
pub async fn count_open_jobs(tx: &mut Tx<Pooler>, provider: ProviderId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "open!" from stm.jobs where provider_id = $1 and status in ('new', 'in_progress')"#,
        provider.0,
    )
    .fetch_one(tx)
    .await
}

/// Switches an active or inactive provider to `status`; in any other state it stays.
///
/// # Errors
/// Those of the database.
pub async fn set_status(tx: &mut Tx<Pooler>, provider: ProviderId, status: ProviderStatus) -> sqlx::Result<()> {
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

/// A provider who has just confirmed.
#[derive(Debug)]
pub struct ConfirmedRow {
    /// The provider.
    pub id: ProviderId,
    /// Name of the business.
    pub business_name: String,
    /// State.
    pub status: ProviderStatus,
    /// When.
    pub confirmed_at: DateTime<Utc>,
}

/// Notes that a provider has confirmed its availability now. `None`: this user is not a provider, or banned.
///
/// # Errors
/// Those of the database.
pub async fn set_confirmed(tx: &mut Tx<Pooler>, user_id: UserId) -> sqlx::Result<Option<ConfirmedRow>> {
    sqlx::query_as!(
        ConfirmedRow,
        r#"update stm.providers
           set last_availability_confirmed_at = now(), updated_at = now()
           where user_id = $1 and status <> 'banned'
           returning id as "id: ProviderId", business_name, status as "status: ProviderStatus",
                     last_availability_confirmed_at as "confirmed_at!""#,
        user_id.0,
    )
    .fetch_optional(tx)
    .await
}
