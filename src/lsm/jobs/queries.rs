//! SQL of the jobs of an LSM's providers.

use super::http::{LsmJobView, LsmJobsSummaryView};
use crate::providers::JobFilter;
use crate::types::{Cents, JobId, JobStatus, ProviderId, Timestamp, UserId};
use doors::Pooler;

/// A page of the jobs of an active LSM's providers, or of one of them, newest first; and what all pages hold.
pub(super) async fn list(
    pooler: &Pooler,
    lsm: UserId,
    provider: Option<ProviderId>,
    filter: &JobFilter,
) -> sqlx::Result<(Vec<LsmJobView>, LsmJobsSummaryView)> {
    let statuses = filter.status_words();
    // The page is cut from the jobs alone; everything else is looked up for its rows. Without rows it is one of nulls.
    let rows = sqlx::query!(
        r#"with mine as (
               select p.id, p.business_name
               from stm.providers p
               join stm.local_service_managers l on l.id = p.lsm_id and l.status = 'active'
               where l.user_id = $1 and ($2::bigint is null or p.id = $2)
           ), found as not materialized (
               select j.id, j.price_cents
               from stm.jobs j
               where j.provider_id in (select m.id from mine m)
                 and ($3::text[] is null or j.status = any($3))
                 and ($4::timestamptz is null or j.created_at >= $4)
                 and ($5::timestamptz is null or j.created_at < $5)
           )
           select n.total as "total!", n.value_cents as "value_cents!",
                  j.id as "id?: JobId", s.name as "service?", s.category as "category?",
                  u.first_name || ' ' || u.last_name as customer, m.business_name as "provider?",
                  m.id as "provider_id?: ProviderId", j.status as "status?: JobStatus", j.price_cents as "price_cents?",
                  j.scheduled_at as "scheduled_at?", j.completed_at as "completed_at?", j.created_at as "created_at?"
           from (select count(*) as total, coalesce(sum(f.price_cents), 0)::bigint as value_cents from found f) n
           left join (select f.id from found f order by f.id desc limit $6 offset $7) page on true
           left join stm.jobs j on j.id = page.id
           left join mine m on m.id = j.provider_id
           left join stm.services s on s.id = j.service_id
           left join stm.customers c on c.id = j.customer_id
           left join stm.users u on u.id = c.user_id
           order by j.id desc"#,
        lsm.0,
        provider.map(|id| id.0),
        statuses.as_deref(),
        filter.from,
        filter.until,
        filter.page.limit,
        filter.page.offset(),
    )
    .fetch_all(pooler)
    .await?;
    let summary = rows.first().map_or((0, 0), |row| (row.total, row.value_cents));
    let summary = LsmJobsSummaryView { total_jobs: summary.0, total_value: Cents(summary.1) };
    let jobs = rows.into_iter().filter_map(|row| {
        Some(LsmJobView {
            id: row.id?,
            service: row.service?,
            category: row.category?,
            customer: row.customer?,
            provider: row.provider?,
            provider_id: row.provider_id?,
            status: row.status?,
            price: Cents(row.price_cents?),
            scheduled_at: row.scheduled_at.map(Timestamp),
            completed_at: row.completed_at.map(Timestamp),
            created_at: row.created_at?.into(),
        })
    });
    Ok((jobs.collect(), summary))
}
