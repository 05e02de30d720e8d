//! SQL of LSMs.

use super::http::{AdminLsmDetailsView, AdminLsmView, LsmStatus, LsmWorkView};
use crate::types::{LsmId, Timestamp, UserId};
use doors::{Pooler, Tx};

/// The most LSMs in one answer.
const MAX_LSMS: i64 = 1000;

/// LSMs that are not removed, by region and area.
pub(super) async fn list(pooler: &Pooler, region: Option<&str>) -> sqlx::Result<Vec<AdminLsmView>> {
    sqlx::query_as!(
        AdminLsmView,
        r#"select l.id as "id: LsmId", u.first_name || ' ' || u.last_name as "name!", u.first_name, u.last_name, u.email,
                  coalesce(u.phone_number, '') as "phone_number!", l.region, l.area, l.status as "status: LsmStatus",
                  coalesce(p.providers, 0) as "provider_count!", coalesce(p.closed_deals, 0) as "closed_deals_count!",
                  l.created_at
           from stm.local_service_managers l
           join stm.users u on u.id = l.user_id
           left join (select lsm_id, count(*) as providers, sum(total_jobs) as closed_deals
                      from stm.providers group by lsm_id) p on p.lsm_id = l.id
           where l.deleted_at is null and ($1::text is null or stm.region_key(l.region) = stm.region_key($1))
           order by l.region, l.area nulls first, l.id
           limit $2"#,
        region,
        MAX_LSMS,
    )
    .fetch_all(pooler)
    .await
}

/// One LSM that is not removed.
pub(super) async fn find(pooler: &Pooler, id: LsmId) -> sqlx::Result<Option<AdminLsmDetailsView>> {
    let row = sqlx::query!(
        r#"select l.id as "id: LsmId", u.first_name, u.last_name, u.email, coalesce(u.phone_number, '') as "phone_number!",
                  l.region, l.area, l.status as "status: LsmStatus", l.created_at,
                  p.providers as "providers!", p.active as "active!", p.pending as "pending!", p.closed_deals as "closed_deals!",
                  (select count(*) from stm.service_requests r where r.lsm_id = l.id and r.status = 'pending')
                      as "service_requests!",
                  (select count(*) from stm.disputes d
                   join stm.jobs j on j.id = d.job_id
                   join stm.providers x on x.id = j.provider_id
                   where x.lsm_id = l.id and d.status = 'open') as "open_disputes!"
           from stm.local_service_managers l
           join stm.users u on u.id = l.user_id
           cross join lateral (
               select count(*) as providers, count(*) filter (where x.status = 'active') as active,
                      count(*) filter (where x.status = 'pending') as pending,
                      coalesce(sum(x.total_jobs), 0) as closed_deals
               from stm.providers x where x.lsm_id = l.id
           ) p
           where l.id = $1 and l.deleted_at is null"#,
        id.0,
    )
    .fetch_optional(pooler)
    .await?;
    Ok(row.map(|row| AdminLsmDetailsView {
        lsm: AdminLsmView {
            id: row.id,
            name: format!("{} {}", row.first_name, row.last_name),
            first_name: row.first_name,
            last_name: row.last_name,
            email: row.email,
            phone_number: row.phone_number,
            region: row.region,
            area: row.area,
            status: row.status,
            provider_count: row.providers,
            closed_deals_count: row.closed_deals,
            created_at: Timestamp(row.created_at),
        },
        work: LsmWorkView {
            active_providers: row.active,
            pending_providers: row.pending,
            pending_service_requests: row.service_requests,
            open_disputes: row.open_disputes,
        },
    }))
}

/// Makes whoever appoints LSMs for a region wait until the transaction ends: whom another one appoints is seen by the next
/// statement.
pub(super) async fn lock_region(tx: &mut Tx<Pooler>, region: &str) -> sqlx::Result<()> {
    sqlx::query!(
        r#"select pg_advisory_xact_lock(hashtextextended('stm.local_service_managers ' || stm.region_key($1), 0)) as "locked!: ()""#,
        region,
    )
    .fetch_one(tx)
    .await
    .map(drop)
}

/// Whether another active LSM serves the region, or the same area of it. Needs [`lock_region`].
pub(super) async fn is_served(
    tx: &mut Tx<Pooler>,
    region: &str,
    area: Option<&str>,
    but: Option<LsmId>,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (
               select from stm.local_service_managers
               where status = 'active' and stm.region_key(region) = stm.region_key($1)
                 and lower(area) is not distinct from lower($2) and id is distinct from $3) as "is_served!""#,
        region,
        area,
        but.map(|id| id.0),
    )
    .fetch_one(tx)
    .await
}

/// An LSM as admins change and record it.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LsmRow {
    #[serde(skip)]
    pub id: LsmId,
    #[serde(skip)]
    pub user_id: UserId,
    pub first_name: String,
    pub last_name: String,
    pub email: String,
    pub phone_number: Option<String>,
    pub region: String,
    pub area: Option<String>,
    pub status: LsmStatus,
}

/// Locks an LSM that is not removed until the transaction ends, also against registrations of providers.
pub(super) async fn lock(tx: &mut Tx<Pooler>, id: LsmId) -> sqlx::Result<Option<LsmRow>> {
    sqlx::query_as!(
        LsmRow,
        r#"select l.id as "id: LsmId", u.id as "user_id: UserId", u.first_name, u.last_name, u.email, u.phone_number, l.region,
                  l.area, l.status as "status: LsmStatus"
           from stm.local_service_managers l
           join stm.users u on u.id = l.user_id
           where l.id = $1 and l.deleted_at is null
           for no key update of l"#,
        id.0,
    )
    .fetch_optional(tx)
    .await
}

/// Inserts the LSM of a user.
pub(super) async fn insert(tx: &mut Tx<Pooler>, user: UserId, region: &str, area: Option<&str>) -> sqlx::Result<LsmId> {
    sqlx::query_scalar!(
        r#"insert into stm.local_service_managers (user_id, region, area) values ($1, $2, $3) returning id as "id: LsmId""#,
        user.0,
        region,
        area,
    )
    .fetch_one(tx)
    .await
}

/// Changes a locked LSM. An address that somebody has violates `users_email_key`.
pub(super) async fn set(tx: &mut Tx<Pooler>, lsm: &LsmRow) -> sqlx::Result<()> {
    sqlx::query!(
        "with lsm as (
             update stm.local_service_managers
             set region = $2, area = $3, status = $4, updated_at = now()
             where id = $1
             returning user_id)
         update stm.users u
         set first_name = $5, last_name = $6, email = $7, phone_number = $8, updated_at = now(),
             email_verified_at = case when u.email = $7 then u.email_verified_at end
         from lsm
         where u.id = lsm.user_id",
        lsm.id.0,
        lsm.region,
        lsm.area,
        lsm.status.as_str(),
        lsm.first_name,
        lsm.last_name,
        lsm.email,
        lsm.phone_number,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Removes a locked LSM, and bars the user. The rows stay, for what refers to them.
pub(super) async fn delete(tx: &mut Tx<Pooler>, id: LsmId) -> sqlx::Result<()> {
    sqlx::query!(
        "with lsm as (
             update stm.local_service_managers
             set status = 'inactive', deleted_at = now(), updated_at = now()
             where id = $1
             returning user_id)
         update stm.users u set banned_at = now(), ban_reason = 'removed as an LSM', updated_at = now()
         from lsm
         where u.id = lsm.user_id and u.banned_at is null",
        id.0,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// The number of a locked LSM's providers who are active, or wait to be.
pub(super) async fn count_active_providers(tx: &mut Tx<Pooler>, id: LsmId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from stm.providers where lsm_id = $1 and status in ('active', 'pending')"#,
        id.0,
    )
    .fetch_one(tx)
    .await
}

/// Hands all of an LSM's providers, undecided service requests and open disputes over. Returns the providers' users.
pub(super) async fn hand_over(tx: &mut Tx<Pooler>, from: LsmId, to: LsmId) -> sqlx::Result<Vec<UserId>> {
    sqlx::query_scalar!(
        r#"with requests as (
               update stm.service_requests set lsm_id = $2 where lsm_id = $1 and status = 'pending'
           ), disputes as (
               update stm.disputes set lsm_id = $2 where lsm_id = $1 and status = 'open'
           )
           update stm.providers set lsm_id = $2, updated_at = now() where lsm_id = $1
           returning user_id as "user_id: UserId""#,
        from.0,
        to.0,
    )
    .fetch_all(tx)
    .await
}
