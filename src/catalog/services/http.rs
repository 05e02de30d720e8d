//! `/services` and `/services/{id}/providers`.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use super::types::SortBy;
use crate::error::{Error, Result};
use crate::state::ApiState;
use crate::types::{Cents, ProviderId, ServiceId};
use crate::web::extract::{Json, Path, Query};
use crate::web::fields::Fields;
use doors::Pooler;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(services)).routes(routes!(providers))
}

/// A service that can be booked.
#[derive(Serialize, ToSchema)]
pub(super) struct ServiceView {
    pub id: ServiceId,
    pub name: String,
    pub description: Option<String>,
    pub category: String,
}

/// The catalogue.
#[derive(Serialize, ToSchema)]
pub(super) struct ServicesView {
    /// At most 1,000, by category and name.
    pub services: Vec<ServiceView>,
    /// The total number of matches.
    pub total: i64,
}

/// Lists all services that can be booked.
#[utoipa::path(get, path = "/services", tag = "catalog", responses((status = 200, body = ServicesView)))]
async fn services(State(pooler): State<Pooler>) -> Result<Json<ServicesView>> {
    Ok(Json(queries::list_services(&pooler).await?))
}

/// A selection of the providers, and their order.
#[derive(Deserialize, IntoParams)]
struct ProvidersQuery {
    /// Returns only providers that serve this ZIP code.
    zipcode: Option<String>,
    /// `rating` (default), `price` or `jobs`.
    #[serde(rename = "sortBy")]
    #[param(inline)]
    sort_by: Option<SortBy>,
}

/// A service and who offers it.
#[derive(Serialize, ToSchema)]
pub(super) struct ProvidersView {
    pub service: ServiceView,
    /// At most 100.
    pub providers: Vec<ProviderView>,
}

/// A provider, as the public sees it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderView {
    pub id: ProviderId,
    pub business_name: String,
    pub owner_name: String,
    pub description: Option<String>,
    /// Years.
    pub experience: Option<i32>,
    /// 1 to 5; 0 without reviews.
    pub rating: f64,
    pub total_jobs: i32,
    pub min_price: Option<Cents>,
    pub max_price: Option<Cents>,
    /// ZIP codes served, the primary one first.
    pub service_areas: Vec<String>,
}

/// Lists the providers who offer a service.
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
    let found = queries::list_providers(&pooler, id, zip_code.as_deref(), query.sort_by.unwrap_or_default()).await?;
    found.map(Json).ok_or(Error::NotFound("service"))
}
