//! `/services/search`, `/services/smart-providers` and `/homepage/search`.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, ProviderFilter, ServiceFilter};
use super::types::Words;
use crate::catalog::services;
use crate::error::{Error, Result};
use crate::files::FileUrls;
use crate::state::ApiState;
use crate::types::{Cents, ProviderId, ServiceId};
use crate::web::extract::{Json, Path, Query};
use crate::web::fields::{Fields, MAX_LIMIT};
use crate::web::page::{Page, PageRequest};
use doors::Pooler;

/// The maximum length of a query, in characters.
const MAX_QUERY_CHARS: usize = 100;
const MAX_SMART_PROVIDERS: i64 = 5;
const MAX_SUGGESTIONS: i64 = 20;
/// The number of places, unless the client sets it.
const DEFAULT_PLACES: i64 = 10;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(search))
        .routes(routes!(smart_providers))
        .routes(routes!(suggestions))
        .routes(routes!(of_category))
        .routes(routes!(places))
        .routes(routes!(homepage_providers))
}

/// A selection of the services.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct SearchQuery {
    /// Words, prefixes of words, or words with a typing error; at most 100 characters.
    query: Option<String>,
    /// Returns only services of this category.
    category: Option<String>,
    /// Returns only services that are offered at this ZIP code.
    zipcode: Option<String>,
    /// In dollars: excludes services whose providers all work for less.
    min_price: Option<Cents>,
    /// In dollars: excludes services whose providers all work for more.
    max_price: Option<Cents>,
    /// The number of the page, from 1.
    page: Option<i64>,
    /// 1 to 100; 20 by default.
    limit: Option<i64>,
}

/// A service, and how it is offered.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct FoundServiceView {
    pub id: ServiceId,
    pub name: String,
    pub category: String,
    pub description: Option<String>,
    /// What a customer is asked.
    pub questions_json: Option<serde_json::Value>,
    pub is_popular: bool,
    /// How many active providers that fit the search offer it.
    pub available_providers: i64,
    pub price_range: PriceRangeView,
}

/// The prices of those providers, in dollars; null if none has a price.
#[derive(Serialize, ToSchema)]
pub(super) struct PriceRangeView {
    pub min: Option<Cents>,
    pub max: Option<Cents>,
}

/// Searches services by words, category, ZIP code and price: the best match first, then the popular ones.
///
/// # Errors
/// 400 a parameter breaks a rule.
#[utoipa::path(get, path = "/services/search", tag = "catalog", params(SearchQuery),
    responses((status = 200, body = Page<FoundServiceView>)))]
async fn search(
    State(pooler): State<Pooler>,
    Query(request): Query<SearchQuery>,
) -> Result<Json<Page<FoundServiceView>>> {
    let mut rules = Fields::new();
    let query = rules.optional_text("query", request.query, MAX_QUERY_CHARS);
    let category = rules.optional_text("category", request.category, MAX_QUERY_CHARS);
    let zip_code = request.zipcode.filter(|zip| !zip.trim().is_empty());
    let zip_code = zip_code.map(|zip| rules.zip_code("zipcode", Some(&zip)));
    let are_in_order = request.min_price.zip(request.max_price).is_none_or(|(min, max)| min <= max);
    rules.check("minPrice", are_in_order, "must not be above maxPrice");
    let page = PageRequest::read(&mut rules, request.page, request.limit);
    rules.finish()?;

    let words = query.as_deref().map(Words::read);
    // A query without a word matches nothing.
    if words == Some(None) {
        return Ok(Json(Page::new(Vec::new(), 0, page)));
    }
    let [min_price_cents, max_price_cents] =
        [request.min_price, request.max_price].map(|price| price.map(|price| price.0));
    let filter = ServiceFilter { words: words.flatten(), category, zip_code, min_price_cents, max_price_cents };
    let (services, total) = queries::search_services(&pooler, &filter, page).await?;
    Ok(Json(Page::new(services, total, page)))
}

/// A search for the best providers of a service.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SmartProvidersRequest {
    #[schema(value_type = ServiceId)]
    service_id: Option<ServiceId>,
    #[schema(value_type = String)]
    zipcode: Option<String>,
    /// In dollars: returns only providers whose lowest price is not above.
    budget: Option<Cents>,
}

/// The best rated providers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SmartProvidersView {
    success: bool,
    /// At most 5, the best rated first.
    providers: Vec<MatchedProviderView>,
    /// The total number of matches.
    total_matches: i64,
    message: &'static str,
}

/// A provider who can be booked.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MatchedProviderView {
    pub id: ProviderId,
    pub business_name: String,
    pub owner_name: String,
    /// 1 to 5; 0 without a review.
    pub rating: f64,
    pub total_jobs: i32,
    /// Years; 0 if unknown.
    pub experience: i32,
    pub description: Option<String>,
    /// In the provider's words, or the region.
    pub location: String,
    pub min_price: Option<Cents>,
    pub max_price: Option<Cents>,
    /// ZIP codes, the primary one first.
    pub service_areas: Vec<String>,
    /// The services that the provider offers, by name.
    pub services: Vec<NamedServiceView>,
    pub logo_url: Option<String>,
    pub banner_url: Option<String>,
}

/// A service of the catalogue.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct NamedServiceView {
    pub id: ServiceId,
    pub name: String,
    pub category: String,
}

/// Finds the best rated providers of a service at a ZIP code.
///
/// # Errors
/// 400 a field breaks a rule. 404 no such service.
#[utoipa::path(post, path = "/services/smart-providers", tag = "catalog", request_body = SmartProvidersRequest,
    responses((status = 201, body = SmartProvidersView), (status = 404, description = "No such service")))]
async fn smart_providers(
    State(pooler): State<Pooler>,
    State(urls): State<FileUrls>,
    Json(request): Json<SmartProvidersRequest>,
) -> Result<(StatusCode, Json<SmartProvidersView>)> {
    let mut rules = Fields::new();
    rules.check("serviceId", request.service_id.is_some(), "must be a service's id");
    let zip_code = rules.zip_code("zipcode", request.zipcode.as_deref());
    rules.finish()?;
    let service = request.service_id.ok_or(Error::NotFound("service"))?;
    let filter = ProviderFilter {
        service,
        zip_code: &zip_code,
        budget_cents: request.budget.map(|budget| budget.0),
        min_rating: None,
        limit: MAX_SMART_PROVIDERS,
    };
    let (providers, total_matches) = queries::search_providers(&pooler, &urls, &filter).await?;
    // Checked only now: a service that has providers exists.
    if providers.is_empty() && !services::service_exists(&pooler, service).await? {
        return Err(Error::NotFound("service"));
    }
    let message = if providers.is_empty() { "No provider matches yet" } else { "Providers found" };
    Ok((StatusCode::CREATED, Json(SmartProvidersView { success: true, providers, total_matches, message })))
}

/// An answer of the homepage.
#[derive(Serialize, ToSchema)]
struct HomepageView<T> {
    success: bool,
    data: T,
}

impl<T> HomepageView<T> {
    fn new(data: T) -> Json<Self> {
        Json(Self { success: true, data })
    }
}

/// The text typed so far.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SuggestionsQuery {
    /// 3 to 100 characters.
    query: Option<String>,
}

/// A suggested category or service.
#[derive(Serialize, ToSchema)]
pub(super) struct SuggestionView {
    /// `category` or `service`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub category: String,
    /// With a service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The service; with a category, its first service.
    pub id: ServiceId,
    pub description: Option<String>,
}

/// Suggests categories and services while somebody types.
///
/// # Errors
/// 400 the query is too short or too long.
#[utoipa::path(get, path = "/homepage/search/services", tag = "catalog", params(SuggestionsQuery),
    responses(
        (status = 200, body = HomepageView<Vec<SuggestionView>>),
        (status = 400, description = "The query is too short or too long"),
    ))]
async fn suggestions(
    State(pooler): State<Pooler>,
    Query(request): Query<SuggestionsQuery>,
) -> Result<Json<HomepageView<Vec<SuggestionView>>>> {
    let Some(words) = read_query(request.query, 3)? else { return Ok(HomepageView::new(Vec::new())) };
    Ok(HomepageView::new(queries::suggest(&pooler, &words, MAX_SUGGESTIONS).await?))
}

/// Reads a query of at least `min` characters. Returns `None` if it has no word.
fn read_query(query: Option<String>, min: usize) -> Result<Option<Words>> {
    let mut rules = Fields::new();
    let query = rules.optional_text("query", query, MAX_QUERY_CHARS);
    let chars = query.as_ref().map_or(0, |query| query.chars().count());
    rules.check("query", chars >= min, &format!("must be at least {min} characters"));
    rules.finish()?;
    Ok(query.as_deref().and_then(Words::read))
}

/// A category and its services.
#[derive(Serialize, ToSchema)]
struct CategoryView {
    category: String,
    /// At most 100, the popular ones first.
    services: Vec<FoundServiceView>,
}

/// Lists the services of a category.
///
/// # Errors
/// 400 the category is too long. 404 no service is in it.
#[utoipa::path(get, path = "/homepage/search/services/category/{category}", tag = "catalog",
    params(("category" = String, Path)),
    responses(
        (status = 200, body = HomepageView<CategoryView>),
        (status = 400, description = "The category is too long"),
        (status = 404, description = "No service is in it"),
    ))]
async fn of_category(
    State(pooler): State<Pooler>,
    Path(category): Path<String>,
) -> Result<Json<HomepageView<CategoryView>>> {
    let mut rules = Fields::new();
    let category = rules.text("category", Some(category), MAX_QUERY_CHARS);
    rules.finish()?;
    let filter = ServiceFilter { category: Some(category), ..ServiceFilter::default() };
    let page = PageRequest { page: 1, limit: MAX_LIMIT };
    let (services, _) = queries::search_services(&pooler, &filter, page).await?;
    // The catalogue's own spelling.
    let category = services.first().ok_or(Error::NotFound("category"))?.category.clone();
    Ok(HomepageView::new(CategoryView { category, services }))
}

/// The text typed so far.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PlacesQuery {
    /// The beginning of a ZIP code or of a region's name: 2 to 100 characters.
    query: Option<String>,
    /// 1 to 100; 10 by default.
    limit: Option<i64>,
}

/// A place that providers serve.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlaceView {
    /// Five digits.
    pub zip_code: String,
    /// ZIP code and region.
    pub formatted_address: String,
}

/// Suggests places while somebody types: ZIP codes that providers serve.
///
/// # Errors
/// 400 a parameter breaks a rule.
#[utoipa::path(get, path = "/homepage/search/locations", tag = "catalog", params(PlacesQuery),
    responses((status = 200, body = HomepageView<Vec<PlaceView>>)))]
async fn places(
    State(pooler): State<Pooler>,
    Query(request): Query<PlacesQuery>,
) -> Result<Json<HomepageView<Vec<PlaceView>>>> {
    let mut rules = Fields::new();
    let limit = rules.limit(request.limit, DEFAULT_PLACES);
    rules.finish()?;
    let Some(words) = read_query(request.query, 2)? else { return Ok(HomepageView::new(Vec::new())) };
    Ok(HomepageView::new(queries::search_places(&pooler, &words, limit).await?))
}

/// A search for the best providers of a service.
#[derive(Deserialize, ToSchema)]
struct HomepageProvidersRequest {
    /// The service's name, or a similar one.
    #[schema(value_type = String)]
    service: Option<String>,
    #[schema(value_type = String)]
    zipcode: Option<String>,
    filters: Option<ProviderFiltersRequest>,
}

/// A selection of the providers.
#[derive(Deserialize, ToSchema, Default)]
#[serde(rename_all = "camelCase")]
struct ProviderFiltersRequest {
    /// 0 to 5.
    min_rating: Option<f64>,
    /// In dollars: returns only providers whose lowest price is not above.
    max_price: Option<Cents>,
}

/// Providers of a service.
#[derive(Serialize, ToSchema)]
struct HomepageProvidersView {
    /// At most 100, the best rated first.
    providers: Vec<MatchedProviderView>,
    /// The total number of matches.
    count: i64,
    /// The service that was found; null if none was.
    service: Option<NamedServiceView>,
    /// The ZIP code.
    location: String,
}

/// Finds the providers of a service, by its name, at a ZIP code.
///
/// # Errors
/// 400 a field breaks a rule.
#[utoipa::path(post, path = "/homepage/search/providers", tag = "catalog", request_body = HomepageProvidersRequest,
    responses((status = 201, body = HomepageView<HomepageProvidersView>)))]
async fn homepage_providers(
    State(pooler): State<Pooler>,
    State(urls): State<FileUrls>,
    Json(request): Json<HomepageProvidersRequest>,
) -> Result<(StatusCode, Json<HomepageView<HomepageProvidersView>>)> {
    let filters = request.filters.unwrap_or_default();
    let mut rules = Fields::new();
    let service = rules.text("service", request.service, MAX_QUERY_CHARS);
    let zip_code = rules.zip_code("zipcode", request.zipcode.as_deref());
    let is_rating = filters.min_rating.is_none_or(|rating| (0.0..=5.0).contains(&rating));
    rules.check("filters.minRating", is_rating, "must be 0 to 5");
    rules.finish()?;

    let found = match Words::read(&service) {
        Some(words) => queries::find_named(&pooler, &words).await?,
        None => None,
    };
    let (providers, count, service) = match found {
        Some(service) => {
            let filter = ProviderFilter {
                service: service.id,
                zip_code: &zip_code,
                budget_cents: filters.max_price.map(|price| price.0),
                min_rating: filters.min_rating,
                limit: MAX_LIMIT,
            };
            let (providers, count) = queries::search_providers(&pooler, &urls, &filter).await?;
            (providers, count, Some(service))
        }
        None => (Vec::new(), 0, None),
    };
    let view = HomepageProvidersView { providers, count, service, location: zip_code };
    Ok((StatusCode::CREATED, HomepageView::new(view)))
}
