//! SQL of the catalogue's services and their providers.

use super::http::{ProviderView, ProvidersView, ServiceView, ServicesView};
use super::types::SortBy;
use crate::types::{Cents, ProviderId, ServiceId};
use doors::Pooler;

const MAX_SERVICES: i64 = 1000;
const MAX_PROVIDERS: i64 = 100;

/// Approved services by category and name, at most [`MAX_SERVICES`], and the total number.
pub(super) async fn list_services(pooler: &Pooler) -> sqlx::Result<ServicesView> {
    let rows = sqlx::query!(
        r#"select id as "id: ServiceId", name, category, description, count(*) over () as "total!"
           from stm.services
           where status = 'approved'
           order by category, name, id
           limit $1"#,
        MAX_SERVICES,
    )
    .fetch_all(pooler)
    .await?;
    let total = rows.first().map_or(0, |row| row.total);
    let services = rows.into_iter().map(|row| ServiceView {
        id: row.id,
        name: row.name,
        category: row.category,
        description: row.description,
    });
    Ok(ServicesView { services: services.collect(), total })
}

/// Whether there is an approved service with this id.
pub(crate) async fn service_exists(pooler: &Pooler, id: ServiceId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from stm.services where id = $1 and status = 'approved') as "exists!""#,
        id.0,
    )
    .fetch_one(pooler)
    .await
}

/// An approved service and its active providers, at most [`MAX_PROVIDERS`]; with a ZIP code, only those that serve it.
pub(super) async fn list_providers(
    pooler: &Pooler,
    service: ServiceId,
    zip_code: Option<&str>,
    sort_by: SortBy,
) -> sqlx::Result<Option<ProvidersView>> {
    let rows = sqlx::query!(
        r#"select s.id as "service_id: ServiceId", s.name, s.category, s.description as service_description,
                  p.id as "id?: ProviderId", p.business_name as "business_name?", u.first_name as "first_name?",
                  u.last_name as "last_name?", p.description, p.experience_years,
                  p.rating::float8 as rating, p.total_jobs as "total_jobs?", p.min_price_cents, p.max_price_cents,
                  array(select z.zip_code from stm.provider_zip_codes z where z.provider_id = p.id order by z.position)
                      as "service_areas!"
           from stm.services s
           left join lateral (
               select o.provider_id,
                      row_number() over (order by case when $3 = 'price' then o.min_price_cents end,
                                                  case when $3 = 'jobs' then o.total_jobs end desc,
                                                  o.rating desc, o.total_jobs desc, o.provider_id) as place
               from stm.provider_services o
               where o.service_id = $1 and o.bookable
                 and ($2::text is null
                      or exists (select from stm.provider_zip_codes z where z.provider_id = o.provider_id and z.zip_code = $2))
               order by place
               limit $4
           ) best on true
           left join stm.providers p on p.id = best.provider_id
           left join stm.users u on u.id = p.user_id
           where s.id = $1 and s.status = 'approved'
           order by best.place"#,
        service.0,
        zip_code,
        sort_by.as_str(),
        MAX_PROVIDERS,
    )
    .fetch_all(pooler)
    .await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let service = ServiceView {
        id: first.service_id,
        name: first.name.clone(),
        category: first.category.clone(),
        description: first.service_description.clone(),
    };
    // A service without providers is one row of nulls.
    let providers = rows.into_iter().filter_map(|row| {
        Some(ProviderView {
            id: row.id?,
            business_name: row.business_name?,
            owner_name: format!("{} {}", row.first_name?, row.last_name?),
            description: row.description,
            experience: row.experience_years,
            rating: row.rating?,
            total_jobs: row.total_jobs?,
            min_price: row.min_price_cents.map(Cents),
            max_price: row.max_price_cents.map(Cents),
            service_areas: row.service_areas,
        })
    });
    Ok(Some(ProvidersView { service, providers: providers.collect() }))
}
