//! SQL of a provider's availability.

use super::http::{ConfirmedProviderView, ConfirmedView};
use crate::providers::ProviderStatus;
use crate::types::{ProviderId, UserId};
use doors::{Pooler, Tx};

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
