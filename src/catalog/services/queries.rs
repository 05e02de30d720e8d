//! What the public may see of services and providers.

use super::types::SortBy;
use crate::db::Pooler;
use crate::types::{ProviderId, ServiceId};

/// The most services, and the most providers of a service, in one answer.
pub const MAX_SERVICES: i64 = 1000;
/// The most providers in one answer.
pub const MAX_PROVIDERS: i64 = 100;

/// An approved service.
#[derive(Debug)]
pub struct ServiceRow {
    /// Id.
    pub id: ServiceId,
    /// Name.
    pub name: String,
    /// Category.
    pub category: String,
    /// What it is.
    pub description: Option<String>,
}

/// An active provider.
#[derive(Debug)]
pub struct ProviderRow {
    /// Id.
    pub id: ProviderId,
    /// Name of the business.
    pub business_name: String,
    /// The owner's first name.
    pub first_name: String,
    /// The owner's last name.
    pub last_name: String,
    /// About the business.
    pub description: Option<String>,
    /// Years of experience.
    pub experience_years: Option<i32>,
    /// Mean of all reviews, 0 without any.
    pub rating: f64,
    /// Jobs done and paid.
    pub total_jobs: i32,
    /// Lowest price, in cents.
    pub min_price_cents: Option<i64>,
    /// Highest price, in cents.
    pub max_price_cents: Option<i64>,
    /// ZIP codes served, the primary one first.
    pub service_areas: Vec<String>,
}

/// All approved services, by category and name; and how many there are.
///
/// # Errors
/// Those of the database.
pub async fn list_services(pooler: &Pooler) -> sqlx::Result<(Vec<ServiceRow>, i64)> {
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
    let services = rows.into_iter().map(|row| ServiceRow {
        id: row.id,
        name: row.name,
        category: row.category,
        description: row.description,
    });
    Ok((services.collect(), total))
}

/// An approved service.
///
/// # Errors
/// Those of the database.
pub async fn find_service(pooler: &Pooler, id: ServiceId) -> sqlx::Result<Option<ServiceRow>> {
    sqlx::query_as!(
        ServiceRow,
        r#"select id as "id: ServiceId", name, category, description from stm.services where id = $1 and status = 'approved'"#,
        id.0,
    )
    .fetch_optional(pooler)
    .await
}

/// An approved service and its active providers; those that serve a ZIP code, if one is given. `None`: there is no such
/// service.
///
/// # Errors
/// Those of the database.
pub async fn list_providers(
    pooler: &Pooler,
    service: ServiceId,
    zip_code: Option<&str>,
    sort_by: SortBy,
) -> sqlx::Result<Option<(ServiceRow, Vec<ProviderRow>)>> {
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
    let service = ServiceRow {
        id: first.service_id,
        name: first.name.clone(),
        category: first.category.clone(),
        description: first.service_description.clone(),
    };
    // A service without providers is one row of nulls.
    let providers = rows.into_iter().filter_map(|row| {
        Some(ProviderRow {
            id: row.id?,
            business_name: row.business_name?,
            first_name: row.first_name?,
            last_name: row.last_name?,
            description: row.description,
            experience_years: row.experience_years,
            rating: row.rating?,
            total_jobs: row.total_jobs?,
            min_price_cents: row.min_price_cents,
            max_price_cents: row.max_price_cents,
            service_areas: row.service_areas,
        })
    });
    Ok(Some((service, providers.collect())))
}
