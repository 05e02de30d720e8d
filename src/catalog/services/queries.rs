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
        r#"select service_id as "service_id!: ServiceId", name as "name!", category as "category!",
                  service_description, id as "id: ProviderId", business_name, first_name, last_name,
                  description, experience_years, rating, total_jobs, min_price_cents,
                  max_price_cents, service_areas as "service_areas!"
           from stm.list_service_providers_v1($1, $2, $3, $4)"#,
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
