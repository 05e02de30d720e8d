//! SQL of requests to ban a provider.

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
