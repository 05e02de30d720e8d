//! SQL of the public search.

use sqlx::types::Json;

use super::http::{FoundServiceView, MatchedProviderView, NamedServiceView, PlaceView, PriceRangeView, SuggestionView};
use super::types::Words;
use crate::files::{FileId, FileUrls};
use crate::types::{Cents, ProviderId, ServiceId};
use crate::web::page::PageRequest;
use doors::Pooler;

/// A selection of services.
#[derive(Debug, Default)]
pub(super) struct ServiceFilter {
    pub words: Option<Words>,
    /// A category, in upper or lower case.
    pub category: Option<String>,
    /// A ZIP code that one of the service's providers serves.
    pub zip_code: Option<String>,
    /// Leaves out providers whose highest price is below.
    pub min_price_cents: Option<i64>,
    /// Leaves out providers whose lowest price is above.
    pub max_price_cents: Option<i64>,
}

/// A service of a page, or nulls if the page is empty, with the number of services on all pages.
struct FoundRow {
    total: i64,
    id: Option<ServiceId>,
    name: Option<String>,
    category: Option<String>,
    description: Option<String>,
    questions_json: Option<serde_json::Value>,
    is_popular: Option<bool>,
    available: Option<i64>,
    min_price_cents: Option<i64>,
    max_price_cents: Option<i64>,
}

impl FoundRow {
    fn page(rows: Vec<Self>) -> (Vec<FoundServiceView>, i64) {
        let total = rows.first().map_or(0, |row| row.total);
        let services = rows.into_iter().filter_map(|row| {
            Some(FoundServiceView {
                id: row.id?,
                name: row.name?,
                category: row.category?,
                description: row.description,
                questions_json: row.questions_json,
                is_popular: row.is_popular?,
                available_providers: row.available?,
                price_range: PriceRangeView {
                    min: row.min_price_cents.map(Cents),
                    max: row.max_price_cents.map(Cents),
                },
            })
        });
        (services.collect(), total)
    }
}

/// Approved services and their total number: the best match first, then the popular ones.
pub(super) async fn search_services(
    pooler: &Pooler,
    filter: &ServiceFilter,
    page: PageRequest,
) -> sqlx::Result<(Vec<FoundServiceView>, i64)> {
    match &filter.zip_code {
        Some(zip_code) => search_services_at(pooler, filter, zip_code, page).await,
        None => search_services_anywhere(pooler, filter, page).await,
    }
}

/// Without a ZIP code, the page is cut first: only the offers of its services need to be counted. An offer at the right
/// price is found with `limit 1`, not `exists`, which the planner would turn into a join with all offers.
async fn search_services_anywhere(
    pooler: &Pooler,
    filter: &ServiceFilter,
    page: PageRequest,
) -> sqlx::Result<(Vec<FoundServiceView>, i64)> {
    let words = filter.words.as_ref();
    let rows = sqlx::query_as!(
        FoundRow,
        r#"select total as "total!", id as "id: ServiceId", name, category, description, questions_json, is_popular,
                  available, min_price_cents, max_price_cents
           from stm.search_services_v1($1, $2, $3, $4, $5, $6, $7)"#,
        words.map(Words::text),
        words.map(Words::beginnings),
        filter.category,
        filter.min_price_cents,
        filter.max_price_cents,
        page.limit,
        page.offset(),
    )
    .fetch_all(pooler)
    .await?;
    Ok(FoundRow::page(rows))
}

/// With a ZIP code, the search goes from the providers who serve it to the services they offer.
async fn search_services_at(
    pooler: &Pooler,
    filter: &ServiceFilter,
    zip_code: &str,
    page: PageRequest,
) -> sqlx::Result<(Vec<FoundServiceView>, i64)> {
    let words = filter.words.as_ref();
    let rows = sqlx::query_as!(
        FoundRow,
        r#"select total as "total!", id as "id: ServiceId", name, category, description, questions_json, is_popular,
                  available, min_price_cents, max_price_cents
           from stm.search_services_at_v1($1, $2, $3, $4, $5, $6, $7, $8)"#,
        words.map(Words::text),
        words.map(Words::beginnings),
        filter.category,
        filter.min_price_cents,
        filter.max_price_cents,
        zip_code,
        page.limit,
        page.offset(),
    )
    .fetch_all(pooler)
    .await?;
    Ok(FoundRow::page(rows))
}

/// A selection of providers.
#[derive(Debug)]
pub(super) struct ProviderFilter<'a> {
    pub service: ServiceId,
    pub zip_code: &'a str,
    /// The highest starting price.
    pub budget_cents: Option<i64>,
    pub min_rating: Option<f64>,
    pub limit: i64,
}

/// Active providers, the best rated first, and their total number.
pub(super) async fn search_providers(
    pooler: &Pooler,
    urls: &FileUrls,
    filter: &ProviderFilter<'_>,
) -> sqlx::Result<(Vec<MatchedProviderView>, i64)> {
    let rows = sqlx::query!(
        r#"with found as materialized (
               select o.provider_id, o.rating, o.total_jobs
               from stm.provider_zip_codes z
               join stm.provider_services o on o.provider_id = z.provider_id and o.service_id = $1 and o.bookable
               where z.zip_code = $2
                 and ($3::bigint is null or coalesce(o.min_price_cents, 0) <= $3)
                 and ($4::float8 is null or o.rating >= $4)
           ), best as (
               select f.provider_id from found f order by f.rating desc, f.total_jobs desc, f.provider_id limit $5
           )
           select (select count(*) from found) as "total!", p.id as "id: ProviderId", p.business_name, u.first_name,
                  u.last_name, p.rating::float8 as "rating!", p.total_jobs, coalesce(p.experience_years, 0) as "experience!",
                  p.description, coalesce(p.location, p.region) as "location!", p.min_price_cents, p.max_price_cents,
                  p.logo_file_id as "logo_file_id: FileId", p.logo_file_name, p.banner_file_id as "banner_file_id: FileId",
                  p.banner_file_name,
                  array(select y.zip_code from stm.provider_zip_codes y where y.provider_id = p.id order by y.position)
                      as "service_areas!",
                  (select coalesce(jsonb_agg(jsonb_build_object('id', s.id, 'name', s.name, 'category', s.category)
                                             order by s.name, s.id), '[]')
                   from stm.provider_services x join stm.services s on s.id = x.service_id and s.status = 'approved'
                   where x.provider_id = p.id) as "services!: Json<Vec<NamedServiceView>>"
           from best b
           join stm.providers p on p.id = b.provider_id
           join stm.users u on u.id = p.user_id
           order by p.rating desc, p.total_jobs desc, p.id"#,
        filter.service.0,
        filter.zip_code,
        filter.budget_cents,
        filter.min_rating,
        filter.limit,
    )
    .fetch_all(pooler)
    .await?;
    let total = rows.first().map_or(0, |row| row.total);
    let providers = rows.into_iter().map(|row| MatchedProviderView {
        id: row.id,
        business_name: row.business_name,
        owner_name: format!("{} {}", row.first_name, row.last_name),
        rating: row.rating,
        total_jobs: row.total_jobs,
        experience: row.experience,
        description: row.description,
        location: row.location,
        min_price: row.min_price_cents.map(Cents),
        max_price: row.max_price_cents.map(Cents),
        service_areas: row.service_areas,
        services: row.services.0,
        logo_url: urls.public(row.logo_file_id, row.logo_file_name),
        banner_url: urls.public(row.banner_file_id, row.banner_file_name),
    });
    Ok((providers.collect(), total))
}

/// Categories, then services, that match words, at most `limit`.
pub(super) async fn suggest(pooler: &Pooler, words: &Words, limit: i64) -> sqlx::Result<Vec<SuggestionView>> {
    let rows = sqlx::query!(
        r#"with found as materialized (
               select s.id, s.name, s.category, s.description, s.is_popular,
                      ts_rank(s.search, websearch_to_tsquery('pg_catalog.english', $1) || to_tsquery('stm.plain', $2)) as rank,
                      extensions.word_similarity($1, s.name || ' ' || s.category) as nearness,
                      extensions.word_similarity($1, s.category) as category_nearness
               from stm.services s
               where s.status = 'approved'
                 and (s.search @@ (websearch_to_tsquery('pg_catalog.english', $1) || to_tsquery('stm.plain', $2))
                      or $1 operator(extensions.<%) (s.name || ' ' || s.category))
           )
           select x.id as "id!: ServiceId", x.category as "category!", x.name, x.description
           from (
               (select min(f.id) as id, f.category, null as name, null as description, 0 as kind, max(f.category_nearness) as rank,
                       0::real as nearness, false as is_popular
                from found f
                where f.category_nearness >= 0.6
                group by f.category)
               union all
               (select f.id, f.category, f.name, f.description, 1, f.rank, f.nearness, f.is_popular from found f)
           ) x
           order by x.kind, x.rank desc, x.nearness desc, x.is_popular desc, x.name, x.id
           limit $3"#,
        words.text(),
        words.beginnings(),
        limit,
    )
    .fetch_all(pooler)
    .await?;
    let suggestions = rows.into_iter().map(|row| SuggestionView {
        kind: if row.name.is_some() { "service" } else { "category" },
        category: row.category,
        name: row.name,
        id: row.id,
        description: row.description,
    });
    Ok(suggestions.collect())
}

/// The service with this name, or else the best match.
pub(super) async fn find_named(pooler: &Pooler, words: &Words) -> sqlx::Result<Option<NamedServiceView>> {
    sqlx::query_as!(
        NamedServiceView,
        r#"select s.id as "id: ServiceId", s.name, s.category
           from stm.services s
           where s.status = 'approved'
             and (s.search @@ (websearch_to_tsquery('pg_catalog.english', $1) || to_tsquery('stm.plain', $2))
                  or $1 operator(extensions.<%) (s.name || ' ' || s.category))
           order by lower(s.name) = lower($1) desc,
                    ts_rank(s.search, websearch_to_tsquery('pg_catalog.english', $1) || to_tsquery('stm.plain', $2)) desc,
                    extensions.word_similarity($1, s.name || ' ' || s.category) desc, s.id
           limit 1"#,
        words.text(),
        words.beginnings(),
    )
    .fetch_optional(pooler)
    .await
}

/// ZIP codes that an active provider serves, where the code or a word of the region begins like the query; at most
/// `limit`.
pub(super) async fn search_places(pooler: &Pooler, words: &Words, limit: i64) -> sqlx::Result<Vec<PlaceView>> {
    let rows = sqlx::query!(
        "select z.zip_code, served.region
         from stm.zip_codes z
         cross join lateral (
             select p.region
             from stm.provider_zip_codes x
             join stm.providers p on p.id = x.provider_id and p.status = 'active'
             where x.zip_code = z.zip_code
             order by p.id
             limit 1) served
         where z.search @@ to_tsquery('pg_catalog.simple', $1)
         order by z.zip_code
         limit $2",
        words.beginnings(),
        limit,
    )
    .fetch_all(pooler)
    .await?;
    let places = rows.into_iter().map(|row| PlaceView {
        formatted_address: format!("{}, {}", row.zip_code, row.region),
        zip_code: row.zip_code,
    });
    Ok(places.collect())
}
