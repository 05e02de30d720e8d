//! SQL of the list of jobs.

use chrono::{DateTime, Utc};

use super::http::{AdminJobView, JobOrder};
use crate::admin::list::{NameView, SortOrder};
use crate::types::{Cents, CustomerId, JobId, JobStatus, LsmId, ProviderId, ServiceId, Timestamp};
use crate::web::page::PageRequest;
use doors::Pooler;

/// A selection of the jobs.
#[derive(Debug, Clone, Copy)]
pub(super) struct JobFilter<'a> {
    pub statuses: Option<&'a [String]>,
    pub provider: Option<ProviderId>,
    pub customer: Option<CustomerId>,
    pub service: Option<ServiceId>,
    pub lsm: Option<LsmId>,
    /// The region of the provider.
    pub region: Option<&'a str>,
    /// The earliest request time.
    pub from: Option<DateTime<Utc>>,
    /// The end of the request times, exclusive.
    pub until: Option<DateTime<Utc>>,
    pub order: JobOrder,
    pub direction: SortOrder,
    pub page: PageRequest,
}

/// A page of the jobs, and their total number.
pub(super) async fn list(pooler: &Pooler, filter: JobFilter<'_>) -> sqlx::Result<(Vec<AdminJobView>, i64)> {
    // Conditions and orders that do not apply are constants for the planner, which leaves them out.
    let rows = sqlx::query!(
        r#"with found as not materialized (
               select j.id, j.created_at, j.price_cents
               from stm.jobs j
               where ($1::text[] is null or j.status = any($1))
                 and ($2::bigint is null or j.provider_id = $2)
                 and ($3::bigint is null or j.customer_id = $3)
                 and ($4::bigint is null or j.service_id = $4)
                 and (($5::bigint is null and $6::text is null)
                      or j.provider_id = any(array(
                          select p.id from stm.providers p
                          where ($5::bigint is null or p.lsm_id = $5)
                            and ($6::text is null or stm.region_key(p.region) = stm.region_key($6)))))
                 and ($7::timestamptz is null or j.created_at >= $7)
                 and ($8::timestamptz is null or j.created_at < $8)
           ), page as (
               select f.id, row_number() over () as place
               from (select x.id from found x
                     order by case when $9 = 'price' and $10 = 'asc' then x.price_cents end,
                              case when $9 = 'price' and $10 = 'desc' then x.price_cents end desc,
                              case when $9 = 'createdAt' and $10 = 'asc' then x.created_at end,
                              case when $9 = 'createdAt' and $10 = 'desc' then x.created_at end desc,
                              case when $10 = 'asc' then x.id end,
                              case when $10 = 'desc' then x.id end desc
                     limit $11 offset $12) f
           )
           select (select count(*) from found) as "total!", j.id as "id: JobId", j.status as "status: JobStatus",
                  j.price_cents, s.id as service_id, s.name as service, s.category,
                  c.id as customer_id, u.first_name || ' ' || u.last_name as "customer_name!",
                  p.id as provider_id, p.business_name, p.region, l.id as lsm_id,
                  lu.first_name || ' ' || lu.last_name as "lsm_name!", y.status as "payment_status?", j.zipcode,
                  j.scheduled_at, j.completed_at, j.created_at
           from page f
           join stm.jobs j on j.id = f.id
           join stm.services s on s.id = j.service_id
           join stm.customers c on c.id = j.customer_id
           join stm.users u on u.id = c.user_id
           join stm.providers p on p.id = j.provider_id
           join stm.local_service_managers l on l.id = p.lsm_id
           join stm.users lu on lu.id = l.user_id
           left join stm.payments y on y.job_id = j.id and y.kind = 'job'
           order by f.place"#,
        filter.statuses,
        filter.provider.map(|id| id.0),
        filter.customer.map(|id| id.0),
        filter.service.map(|id| id.0),
        filter.lsm.map(|id| id.0),
        filter.region,
        filter.from,
        filter.until,
        filter.order.as_str(),
        filter.direction.as_str(),
        filter.page.limit,
        filter.page.offset(),
    )
    .fetch_all(pooler)
    .await?;
    let total = match rows.first() {
        Some(row) => row.total,
        None if filter.page.page == 1 => 0,
        None => Box::pin(list(pooler, JobFilter { page: PageRequest::ONE_ROW, ..filter })).await?.1,
    };
    let jobs = rows.into_iter().map(|row| AdminJobView {
        id: row.id,
        status: row.status,
        price: Cents(row.price_cents),
        service: NameView { id: row.service_id, name: row.service },
        category: row.category,
        customer: NameView { id: row.customer_id, name: row.customer_name },
        provider: NameView { id: row.provider_id, name: row.business_name },
        lsm: NameView { id: row.lsm_id, name: row.lsm_name },
        region: row.region,
        zipcode: row.zipcode,
        payment_status: row.payment_status,
        scheduled_at: row.scheduled_at.map(Timestamp),
        completed_at: row.completed_at.map(Timestamp),
        created_at: Timestamp(row.created_at),
    });
    Ok((jobs.collect(), total))
}
