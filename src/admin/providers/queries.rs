//! SQL of providers as admins see them.

use sqlx::types::Json;

use super::http::{
    AdminProviderDetailsView, AdminProviderView, OwnerView, ProviderFiguresView, ProviderOrder, ServiceNameView,
};
use crate::admin::list::{NameView, SortOrder};
use crate::providers::{DocumentView, ProviderStatus};
use crate::types::{Cents, LsmId, ProviderId, Timestamp};
use crate::web::page::PageRequest;
use doors::Pooler;

/// A selection of the providers.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProviderFilter<'a> {
    /// A part of the business's name, of the owner's, or of the address, as a pattern.
    pub search: Option<&'a str>,
    pub region: Option<&'a str>,
    pub status: Option<ProviderStatus>,
    pub lsm: Option<LsmId>,
    pub min_rating: Option<f64>,
    pub max_rating: Option<f64>,
    pub order: ProviderOrder,
    pub direction: SortOrder,
    pub page: PageRequest,
}

/// A page of the providers, and their total number.
pub(super) async fn list(pooler: &Pooler, filter: ProviderFilter<'_>) -> sqlx::Result<(Vec<AdminProviderView>, i64)> {
    // Conditions and orders that do not apply are constants for the planner, which leaves them out.
    let rows = sqlx::query!(
        r#"with found as not materialized (
               select p.id, p.business_name, p.rating, p.total_jobs, p.earnings_cents
               from stm.providers p
               where ($1::text is null or p.id = any(array(
                          select x.id from stm.providers x where x.business_name ilike $1
                          union
                          select x.id from stm.users u join stm.providers x on x.user_id = u.id
                          where (u.first_name || ' ' || u.last_name || ' ' || u.email) ilike $1)))
                 and ($2::text is null or stm.region_key(p.region) = stm.region_key($2))
                 and ($3::text is null or p.status = $3)
                 and ($4::bigint is null or p.lsm_id = $4)
                 and ($5::float8 is null or p.rating >= $5::numeric)
                 and ($6::float8 is null or p.rating <= $6::numeric)
           ), page as (
               select f.id, row_number() over () as place
               from (select x.id from found x
                     order by case when $7 = 'businessName' and $8 = 'asc' then lower(x.business_name) end,
                              case when $7 = 'businessName' and $8 = 'desc' then lower(x.business_name) end desc,
                              case when $7 = 'rating' and $8 = 'asc' then x.rating end,
                              case when $7 = 'rating' and $8 = 'desc' then x.rating end desc,
                              case when $7 = 'totalJobs' and $8 = 'asc' then x.total_jobs end,
                              case when $7 = 'totalJobs' and $8 = 'desc' then x.total_jobs end desc,
                              case when $7 = 'totalEarnings' and $8 = 'asc' then x.earnings_cents end,
                              case when $7 = 'totalEarnings' and $8 = 'desc' then x.earnings_cents end desc,
                              case when $8 = 'asc' then x.id end,
                              case when $8 = 'desc' then x.id end desc
                     limit $9 offset $10) f
           )
           select (select count(*) from found) as "total!", p.id as "id: ProviderId", p.business_name,
                  u.first_name || ' ' || u.last_name as "owner_name!", u.email, u.phone_number, p.region, p.area,
                  p.status as "status: ProviderStatus", l.id as lsm_id, lu.first_name || ' ' || lu.last_name as "lsm_name!",
                  p.rating::float8 as "rating!", p.total_jobs, p.earnings_cents, p.warnings, p.created_at
           from page f
           join stm.providers p on p.id = f.id
           join stm.users u on u.id = p.user_id
           join stm.local_service_managers l on l.id = p.lsm_id
           join stm.users lu on lu.id = l.user_id
           order by f.place"#,
        filter.search,
        filter.region,
        filter.status.map(ProviderStatus::as_str),
        filter.lsm.map(|id| id.0),
        filter.min_rating,
        filter.max_rating,
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
        None => Box::pin(list(pooler, ProviderFilter { page: PageRequest::ONE_ROW, ..filter })).await?.1,
    };
    let providers = rows.into_iter().map(|row| AdminProviderView {
        id: row.id,
        business_name: row.business_name,
        owner_name: row.owner_name,
        email: row.email,
        phone: row.phone_number,
        region: row.region,
        area: row.area,
        status: row.status,
        lsm: NameView { id: row.lsm_id, name: row.lsm_name },
        rating: row.rating,
        total_jobs: row.total_jobs,
        total_earnings: Cents(row.earnings_cents),
        warnings: row.warnings,
        created_at: Timestamp(row.created_at),
    });
    Ok((providers.collect(), total))
}

/// One provider.
pub(super) async fn find(pooler: &Pooler, id: ProviderId) -> sqlx::Result<Option<AdminProviderDetailsView>> {
    let row = sqlx::query!(
        r#"select p.id as "id: ProviderId", p.business_name, p.description, p.experience_years, p.location, p.website_url,
                  p.region, p.area, p.status as "status: ProviderStatus", p.rating::float8 as "rating!", p.total_jobs,
                  p.earnings_cents, p.warnings,
                  stm.documents_of(p.id) as "documents!: Json<Vec<DocumentView>>", p.rejection_reason, p.min_price_cents, p.max_price_cents, p.created_at,
                  p.last_availability_confirmed_at,
                  (select max(e.at) from stm.provider_events e where e.provider_id = p.id and e.action = 'approve') as approved_at,
                  u.first_name || ' ' || u.last_name as "owner_name!", u.email, u.phone_number, l.id as lsm_id,
                  lu.first_name || ' ' || lu.last_name as "lsm_name!",
                  array(select z.zip_code from stm.provider_zip_codes z where z.provider_id = p.id order by z.position)
                      as "zip_codes!",
                  (select coalesce(jsonb_agg(jsonb_build_object('id', s.id, 'name', s.name, 'category', s.category) order by s.name), '[]')
                   from stm.provider_services o join stm.services s on s.id = o.service_id and s.status <> 'deleted'
                   where o.provider_id = p.id) as "services!: Json<Vec<ServiceNameView>>",
                  (select count(*) from stm.jobs j where j.provider_id = p.id and j.status in ('new', 'in_progress', 'completed'))
                      as "open_jobs!",
                  (select count(*) from stm.reviews r where r.provider_id = p.id) as "reviews!"
           from stm.providers p
           join stm.users u on u.id = p.user_id
           join stm.local_service_managers l on l.id = p.lsm_id
           join stm.users lu on lu.id = l.user_id
           where p.id = $1"#,
        id.0,
    )
    .fetch_optional(pooler)
    .await?;
    Ok(row.map(|row| AdminProviderDetailsView {
        id: row.id,
        business_name: row.business_name,
        owner: OwnerView { name: row.owner_name, email: row.email, phone_number: row.phone_number },
        description: row.description,
        experience: row.experience_years,
        location: row.location,
        website_url: row.website_url,
        region: row.region,
        area: row.area,
        zipcode: row.zip_codes.first().cloned(),
        service_areas: row.zip_codes,
        services: row.services.0,
        min_price: row.min_price_cents.map(Cents),
        max_price: row.max_price_cents.map(Cents),
        status: row.status,
        lsm: NameView { id: row.lsm_id, name: row.lsm_name },
        statistics: ProviderFiguresView {
            average_rating: row.rating,
            total_jobs: row.total_jobs,
            total_revenue: Cents(row.earnings_cents),
            open_jobs: row.open_jobs,
            reviews: row.reviews,
            warnings: row.warnings,
        },
        documents: row.documents.0,
        rejection_reason: row.rejection_reason,
        approved_at: row.approved_at.map(Timestamp),
        last_availability_confirmed_at: row.last_availability_confirmed_at.map(Timestamp),
        created_at: Timestamp(row.created_at),
    }))
}
