//! Providers who could take a job over, and the one who does.

use chrono::{DateTime, Utc};

use super::http::{AlternativeView, AlternativesView, WantedServiceView};
use crate::types::{Cents, JobId, ProviderId, ServiceId, UserId};
use doors::{Pooler, Tx};

/// A job's service and place, and the active providers but the present one who offer it there: the best rated first, at
/// most `limit`; and how many there are. Returns `None` if there is no such job, or it is not this customer's.
pub(super) async fn list_alternatives(
    pooler: &Pooler,
    job: JobId,
    user: UserId,
    limit: i64,
) -> sqlx::Result<Option<AlternativesView>> {
    let rows = sqlx::query!(
        r#"select s.id as "service_id: ServiceId", s.name as service_name, s.category as service_category, j.zipcode,
                  a.experience as "experience?", a.location as "location?",
                  a.id as "id?: ProviderId", a.business_name as "business_name?", a.owner_name as "owner_name?", a.rating as "rating?",
                  a.total_jobs as "total_jobs?", a.min_price_cents as "min_price_cents?", a.max_price_cents as "max_price_cents?",
                  a.service_areas as "service_areas?", a.total as "total?"
           from stm.jobs j
           join stm.customers c on c.id = j.customer_id
           join stm.services s on s.id = j.service_id
           left join lateral (
               select coalesce(p.experience_years, 0) as experience, coalesce(p.location, p.region) as location,
                      p.id, p.business_name, u.first_name || ' ' || u.last_name as owner_name, p.rating::float8 as rating, p.total_jobs,
                      p.min_price_cents, p.max_price_cents,
                      (select array_agg(y.zip_code order by y.position) from stm.provider_zip_codes y where y.provider_id = p.id)
                          as service_areas,
                      count(*) over () as total
               from stm.provider_zip_codes z
               join stm.provider_services x on x.provider_id = z.provider_id and x.service_id = j.service_id
               join stm.providers p on p.id = z.provider_id
               join stm.users u on u.id = p.user_id
               where z.zip_code = j.zipcode and p.status = 'active' and p.id <> j.provider_id
               order by p.rating desc, p.total_jobs desc, p.id
               limit $3
           ) a on true
           where j.id = $1 and c.user_id = $2
           order by a.rating desc, a.total_jobs desc, a.id"#,
        job.0,
        user.0,
        limit,
    )
    .fetch_all(pooler)
    .await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let (zipcode, total_matches) = (first.zipcode.clone(), first.total.unwrap_or(0));
    let service = WantedServiceView {
        id: first.service_id,
        name: first.service_name.clone(),
        category: first.service_category.clone(),
    };
    // A job without alternatives is one row of nulls.
    let alternatives = rows.into_iter().filter_map(|row| {
        Some(AlternativeView {
            id: row.id?,
            business_name: row.business_name?,
            owner_name: row.owner_name?,
            rating: row.rating?,
            total_jobs: row.total_jobs?,
            experience: row.experience?,
            location: row.location?,
            min_price: row.min_price_cents.map(Cents),
            max_price: row.max_price_cents.map(Cents),
            service_areas: row.service_areas.unwrap_or_default(),
        })
    });
    Ok(Some(AlternativesView { service, zipcode, providers: alternatives.collect(), total_matches }))
}

/// Sets another provider of a locked job, and what the customer asks of it. Returns when the job was first requested.
pub(super) async fn set_provider(
    tx: &mut Tx<Pooler>,
    job: JobId,
    provider: ProviderId,
    customer_budget: Option<Cents>,
    preferred_at: Option<DateTime<Utc>>,
) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar!(
        "update stm.jobs set provider_id = $2, customer_budget_cents = $3, preferred_at = $4 where id = $1 returning created_at",
        job.0,
        provider.0,
        customer_budget.map(|budget| budget.0),
        preferred_at,
    )
    .fetch_one(tx)
    .await
}
