//! SQL of requests for bans.

use super::http::{BanRequestStatus, BanRequestView};
use crate::admin::list::NameView;
use crate::providers::ProviderStatus;
use crate::types::{BanRequestId, ProviderId, Timestamp, UserId};
use crate::web::page::PageRequest;
use doors::{Pooler, Tx};

/// A selection of the requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct BanRequestFilter {
    pub status: Option<BanRequestStatus>,
    pub page: PageRequest,
}

/// A page of the requests, newest first, and their total number.
pub(super) async fn list(pooler: &Pooler, filter: BanRequestFilter) -> sqlx::Result<(Vec<BanRequestView>, i64)> {
    let rows = sqlx::query!(
        r#"with found as not materialized (
               select r.id from stm.ban_requests r where $1::text is null or r.status = $1
           ), page as (
               select f.id from found f order by f.id desc limit $2 offset $3
           )
           select (select count(*) from found) as "total!", r.id as "id: BanRequestId", r.status as "status: BanRequestStatus",
                  r.reason, r.created_at, r.decided_at, p.id as provider_id, p.business_name,
                  p.status as "provider_status: ProviderStatus", p.region, u.id as lsm_user_id,
                  u.first_name || ' ' || u.last_name as "lsm_name!"
           from page f
           join stm.ban_requests r on r.id = f.id
           join stm.providers p on p.id = r.provider_id
           join stm.users u on u.id = r.requested_by
           order by r.id desc"#,
        filter.status.map(BanRequestStatus::as_str),
        filter.page.limit,
        filter.page.offset(),
    )
    .fetch_all(pooler)
    .await?;
    let total = match rows.first() {
        Some(row) => row.total,
        None if filter.page.page == 1 => 0,
        None => Box::pin(list(pooler, BanRequestFilter { page: PageRequest::ONE_ROW, ..filter })).await?.1,
    };
    let requests = rows.into_iter().map(|row| BanRequestView {
        id: row.id,
        status: row.status,
        reason: row.reason,
        provider: NameView { id: row.provider_id, name: row.business_name },
        provider_status: row.provider_status,
        region: row.region,
        requested_by: NameView { id: row.lsm_user_id, name: row.lsm_name },
        created_at: Timestamp(row.created_at),
        decided_at: row.decided_at.map(Timestamp),
    });
    Ok((requests.collect(), total))
}

/// A request that is about to be decided.
#[derive(Debug)]
pub(super) struct LockedBanRequest {
    pub status: BanRequestStatus,
    pub provider_id: ProviderId,
    pub business_name: String,
    pub requested_by: UserId,
    pub reason: String,
}

/// Finds the provider that a request is about, so that it can be locked first.
pub(super) async fn find_provider(tx: &mut Tx<Pooler>, id: BanRequestId) -> sqlx::Result<Option<ProviderId>> {
    sqlx::query_scalar!(r#"select provider_id as "id: ProviderId" from stm.ban_requests where id = $1"#, id.0,)
        .fetch_optional(tx)
        .await
}

/// Locks a request until the transaction ends.
pub(super) async fn lock(tx: &mut Tx<Pooler>, id: BanRequestId) -> sqlx::Result<Option<LockedBanRequest>> {
    sqlx::query_as!(
        LockedBanRequest,
        r#"select r.status as "status: BanRequestStatus", r.provider_id as "provider_id: ProviderId", p.business_name,
                  r.requested_by as "requested_by: UserId", r.reason
           from stm.ban_requests r
           join stm.providers p on p.id = r.provider_id
           where r.id = $1
           for no key update of r"#,
        id.0,
    )
    .fetch_optional(tx)
    .await
}

/// Decides a locked request.
pub(super) async fn decide(
    tx: &mut Tx<Pooler>,
    id: BanRequestId,
    status: BanRequestStatus,
    by: UserId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.ban_requests set status = $2, decided_by = $3, decided_at = now() where id = $1 and status = 'pending'",
        id.0,
        status.as_str(),
        by.0,
    )
    .execute(tx)
    .await
    .map(drop)
}
