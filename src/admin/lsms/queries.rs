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

/// Makes other appointments of LSMs for these regions wait until the transaction ends. The next statement sees every earlier
/// one.
pub(super) async fn lock_regions(tx: &mut Tx<Pooler>, regions: &[&str]) -> sqlx::Result<()> {
    let regions: Vec<_> = regions.iter().map(|region| (*region).to_owned()).collect();
    // In one order, so that two who lock the same ones do not wait for each other.
    sqlx::query!(
        r#"select pg_advisory_xact_lock(x.key) as "locked!: ()"
           from (select distinct hashtextextended('stm.local_service_managers ' || stm.region_key(region), 0) as key
                 from unnest($1::text[]) region order by key) x"#,
        &regions,
    )
    .fetch_all(tx)
    .await
    .map(drop)
}

/// Whether another active LSM serves the region, or the same area of it. Needs [`lock_regions`].
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

/// The oldest active LSM of a region, if there is one.
pub(super) async fn find_serving(tx: &mut Tx<Pooler>, region: &str) -> sqlx::Result<Option<LsmRow>> {
    sqlx::query_as!(
        LsmRow,
        r#"select l.id as "id: LsmId", u.id as "user_id: UserId", u.first_name, u.last_name, u.email, u.phone_number, l.region,
                  l.area, l.status as "status: LsmStatus"
           from stm.local_service_managers l
           join stm.users u on u.id = l.user_id
           where l.status = 'active' and stm.region_key(l.region) = stm.region_key($1)
           order by l.created_at, l.id
           limit 1"#,
        region,
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

/// Removes a locked LSM, and bars the user, whose e-mail address is free again. The rows stay, for what refers to them.
pub(super) async fn delete(tx: &mut Tx<Pooler>, id: LsmId) -> sqlx::Result<()> {
    sqlx::query!(
        "with lsm as (
             update stm.local_service_managers
             set status = 'inactive', deleted_at = now(), updated_at = now()
             where id = $1
             returning user_id)
         update stm.users u
         set banned_at = coalesce(u.banned_at, now()), ban_reason = 'removed as an LSM', email = 'removed-' || u.id || '@deleted.invalid',
             password_hash = null, auth_uid = null, updated_at = now()
         from lsm
         where u.id = lsm.user_id",
        id.0,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// What waits for an LSM.
#[derive(Debug)]
pub(super) struct Work {
    /// Who work, may work again, or wait to.
    pub providers: i64,
    pub disputes: i64,
    pub requests: i64,
}

/// Counts what waits for a locked LSM.
pub(super) async fn count_work(tx: &mut Tx<Pooler>, id: LsmId) -> sqlx::Result<Work> {
    sqlx::query_as!(
        Work,
        r#"select (select count(*) from stm.providers p join stm.users u on u.id = p.user_id
                   where p.lsm_id = $1 and p.status in ('active', 'inactive', 'pending') and u.closed_at is null) as "providers!",
                  (select count(*) from stm.disputes d
                   join stm.jobs j on j.id = d.job_id
                   join stm.providers p on p.id = j.provider_id
                   where p.lsm_id = $1 and d.status = 'open') as "disputes!",
                  (select count(*) from stm.service_requests r where r.lsm_id = $1 and r.status = 'pending') as "requests!""#,
        id.0,
    )
    .fetch_one(tx)
    .await
}

/// What an LSM has got.
#[derive(Debug)]
pub(super) struct HandedOver {
    /// The users of the providers.
    pub providers: Vec<UserId>,
    /// Undecided ones.
    pub requests: i64,
    /// Open ones.
    pub disputes: i64,
}

/// Hands all of an LSM's providers, undecided service requests and open disputes over.
pub(super) async fn hand_over(tx: &mut Tx<Pooler>, from: LsmId, to: LsmId) -> sqlx::Result<HandedOver> {
    sqlx::query_as!(
        HandedOver,
        r#"with requests as (
               update stm.service_requests set lsm_id = $2 where lsm_id = $1 and status = 'pending' returning id
           ), disputes as (
               update stm.disputes set lsm_id = $2 where lsm_id = $1 and status = 'open' returning id
           ), providers as (
               update stm.providers set lsm_id = $2, updated_at = now() where lsm_id = $1 returning user_id
           )
           select array(select user_id from providers) as "providers!: Vec<UserId>",
                  (select count(*) from requests) as "requests!", (select count(*) from disputes) as "disputes!""#,
        from.0,
        to.0,
    )
    .fetch_one(tx)
    .await
}

/// Hands an LSM the providers, undecided service requests and open disputes of its region that no active LSM has.
pub(super) async fn adopt(tx: &mut Tx<Pooler>, to: LsmId, region: &str) -> sqlx::Result<HandedOver> {
    sqlx::query_as!(
        HandedOver,
        r#"with orphans as (
               select p.id, p.user_id
               from stm.local_service_managers l
               join stm.providers p on p.lsm_id = l.id
               where l.status <> 'active' and stm.region_key(p.region) = stm.region_key($2)
           ), requests as (
               update stm.service_requests r
               set lsm_id = $1
               where r.status = 'pending' and stm.region_key(r.region) = stm.region_key($2)
                 and not exists (select from stm.local_service_managers l where l.id = r.lsm_id and l.status = 'active')
               returning r.id
           ), disputes as (
               update stm.disputes d
               set lsm_id = $1
               from stm.jobs j, orphans o
               where j.id = d.job_id and o.id = j.provider_id and d.status = 'open'
               returning d.id
           ), providers as (
               update stm.providers p set lsm_id = $1, updated_at = now() from orphans o where p.id = o.id returning p.user_id
           )
           select array(select user_id from providers) as "providers!: Vec<UserId>",
                  (select count(*) from requests) as "requests!", (select count(*) from disputes) as "disputes!""#,
        to.0,
        region,
    )
    .fetch_one(tx)
    .await
}
