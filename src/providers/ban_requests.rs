//! SQL of requests to ban a provider.
//!
//! Invariant: no request waits for a provider who is banned, or whose account is closed.

use crate::types::{BanRequestId, ProviderId, UserId};
use doors::{Pooler, Tx};

/// Inserts a request. Returns `None` if one waits for the provider already.
pub(crate) async fn insert(
    tx: &mut Tx<Pooler>,
    provider: ProviderId,
    requested_by: UserId,
    reason: &str,
) -> sqlx::Result<Option<BanRequestId>> {
    sqlx::query_scalar!(
        r#"insert into stm.ban_requests (provider_id, requested_by, reason) values ($1, $2, $3)
           on conflict (provider_id) where status = 'pending' do nothing
           returning id as "id: BanRequestId""#,
        provider.0,
        requested_by.0,
        reason,
    )
    .fetch_optional(tx)
    .await
}

/// Decides the request that waits for a provider, if one does. Returns its id and the LSM's user.
pub(super) async fn decide_waiting(
    tx: &mut Tx<Pooler>,
    provider: ProviderId,
    is_approved: bool,
    by: UserId,
) -> sqlx::Result<Option<(BanRequestId, UserId)>> {
    let row = sqlx::query!(
        r#"update stm.ban_requests
           set status = case when $2 then 'approved' else 'rejected' end, decided_by = $3, decided_at = now()
           where provider_id = $1 and status = 'pending'
           returning id as "id: BanRequestId", requested_by as "requested_by: UserId""#,
        provider.0,
        is_approved,
        by.0,
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| (row.id, row.requested_by)))
}
