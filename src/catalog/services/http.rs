//! `/services`.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, ProviderRow, ServiceRow};
use super::types::SortBy;
use crate::db::Pooler;
use crate::error::{Error, Result};
use crate::state::ApiState;
use crate::types::{Cents, ProviderId, ServiceId};
use crate::web::extract::{Json, Path, Query};
use crate::web::fields::Fields;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(services)).routes(routes!(providers))
}

/// A service that can be booked.
#[derive(Serialize, ToSchema)]
struct ServiceView {
    id: ServiceId,
    name: String,
    description: Option<String>,
    category: String,
}

impl From<ServiceRow> for ServiceView {
    fn from(row: ServiceRow) -> Self {
        Self { id: row.id, name: row.name, description: row.description, category: row.category }
    }
}

/// The catalogue.
#[derive(Serialize, ToSchema)]
struct ServicesView {
    /// At most 1,000, by category and name.
    services: Vec<ServiceView>,
    /// How many there are.
    total: i64,
}

/// All services that can be booked.
#[utoipa::path(get, path = "/services", tag = "catalog", responses((status = 200, body = ServicesView)))]
async fn services(State(pooler): State<Pooler>) -> Result<Json<ServicesView>> {
    let (rows, total) = queries::list_services(&pooler).await?;
    Ok(Json(ServicesView { services: rows.into_iter().map(Into::into).collect(), total }))
}

/// Which providers, in which order.
#[derive(Deserialize, IntoParams)]
struct ProvidersQuery {
    /// Only providers that serve this ZIP code.
    zipcode: Option<String>,
    /// `rating` (default), `price` or `jobs`.
    #[serde(rename = "sortBy", default)]
    #[param(inline)]
    sort_by: SortBy,
}

/// A service and who offers it.
#[derive(Serialize, ToSchema)]
struct ProvidersView {
    service: ServiceView,
    /// At most 100.
    providers: Vec<ProviderView>,
}

/// A provider, as the public sees it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProviderView {
    id: ProviderId,
    business_name: String,
    owner_name: String,
    description: Option<String>,
    /// Years.
    experience: Option<i32>,
    /// 1 to 5; 0 without reviews.
    rating: f64,
    total_jobs: i32,
    min_price: Option<Cents>,
    max_price: Option<Cents>,
    /// ZIP codes served, the primary one first.
    service_areas: Vec<String>,
}

impl From<ProviderRow> for ProviderView {
    fn from(row: ProviderRow) -> Self {
        Self {
            id: row.id,
            business_name: row.business_name,
            owner_name: format!("{} {}", row.first_name, row.last_name),
            description: row.description,
            experience: row.experience_years,
            rating: row.rating,
            total_jobs: row.total_jobs,
            min_price: row.min_price_cents.map(Cents),
            max_price: row.max_price_cents.map(Cents),
            service_areas: row.service_areas,
        }
    }
}

/// Who offers a service.
///
/// # Errors
/// 400 not a ZIP code, or an unknown order. 404 no such service.
#[utoipa::path(get, path = "/services/{id}/providers", tag = "catalog",
    params(("id" = ServiceId, Path), ProvidersQuery),
    responses(
        (status = 200, body = ProvidersView),
        (status = 400, description = "Not a ZIP code, or an unknown order"),
        (status = 404, description = "No such service"),
    ))]
async fn providers(
    State(pooler): State<Pooler>,
    Path(id): Path<ServiceId>,
    Query(query): Query<ProvidersQuery>,
) -> Result<Json<ProvidersView>> {
    let mut rules = Fields::new();
    let zip_code = query.zipcode.filter(|zip| !zip.trim().is_empty()).map(|zip| rules.zip_code("zipcode", Some(&zip)));
    rules.finish()?;
    let found = queries::list_providers(&pooler, id, zip_code.as_deref(), query.sort_by).await?;
    let (service, rows) = found.ok_or(Error::NotFound("service"))?;
    Ok(Json(ProvidersView { service: service.into(), providers: rows.into_iter().map(Into::into).collect() }))
}
