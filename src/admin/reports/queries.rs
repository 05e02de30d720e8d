//! SQL of the reports.

use super::http::RegionView;
use crate::types::Cents;
use doors::Pooler;

/// The most regions in a report.
const MAX_REGIONS: i64 = 500;

/// The regions that anybody lives or works in, those with the highest revenue first.
pub(super) async fn regions(pooler: &Pooler) -> sqlx::Result<Vec<RegionView>> {
    // Grouped by spelling first, so that the key of a region is computed once for each.
    sqlx::query_as!(
        RegionView,
        r#"with spelling as (
               select region, count(*) as providers, count(*) filter (where status = 'active') as active_providers,
                      sum(total_jobs) as paid_jobs, sum(earnings_cents) as revenue, sum(rating) as ratings,
                      count(*) filter (where rating > 0) as rated, 0 as customers, 0 as lsms
               from stm.providers group by region
               union all
               select region, 0, 0, 0, 0, 0, 0, count(*), 0 from stm.customers group by region
               union all
               select region, 0, 0, 0, 0, 0, 0, 0, count(*) from stm.local_service_managers
               where status = 'active' group by region
           )
           select min(region) as "region!", sum(providers)::bigint as "providers!",
                  sum(active_providers)::bigint as "active_providers!", sum(customers)::bigint as "customers!",
                  sum(lsms)::bigint as "lsms!", sum(paid_jobs)::bigint as "paid_jobs!", sum(revenue)::bigint as "revenue!: Cents",
                  coalesce(round(sum(ratings) / nullif(sum(rated), 0), 2), 0)::float8 as "average_rating!"
           from spelling
           group by stm.region_key(region)
           order by sum(revenue) desc, 1
           limit $1"#,
        MAX_REGIONS,
    )
    .fetch_all(pooler)
    .await
}
