//! `/admin/providers`: the list, and one provider.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, ProviderFilter};
use crate::admin::list::{self, NameView, SortOrder};
use crate::auth::Admin;
use crate::error::{Error, Result};
use crate::providers::{DocumentView, ProviderStatus};
use crate::state::ApiState;
use crate::types::{Cents, LsmId, ProviderId, ServiceId, Timestamp, text_enum};
use crate::web::extract::{Json, Path, Query};
use crate::web::fields::{Fields, SHORT_TEXT};
use crate::web::page::{Page, PageRequest};
use doors::Pooler;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(providers)).routes(routes!(provider))
}

text_enum! {
    /// The order of providers.
    ProviderOrder {
        CreatedAt = "createdAt",
        BusinessName = "businessName",
        Rating = "rating",
        TotalJobs = "totalJobs",
        TotalEarnings = "totalEarnings",
    }
}

/// A selection of the providers, and their order.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
struct AdminProvidersQuery {
    /// Returns only providers with this text in the business's name, the owner's name or the e-mail address.
    search: Option<String>,
    /// Returns only providers of this region, by the state's letters or name.
    region: Option<String>,
    /// Returns only providers in this status.
    #[param(inline)]
    status: Option<ProviderStatus>,
    /// Returns only providers of this LSM.
    lsm_id: Option<LsmId>,
    /// Returns only providers rated so high, or higher.
    min_rating: Option<f64>,
    /// Returns only providers rated so high, or lower.
    max_rating: Option<f64>,
    /// `createdAt` (default), `businessName`, `rating`, `totalJobs` or `totalEarnings`.
    #[param(inline)]
    sort_by: Option<ProviderOrder>,
    /// `desc` by default.
    #[param(inline)]
    sort_order: Option<SortOrder>,
    /// The number of the page, from 1.
    page: Option<i64>,
    /// The maximum number of rows, 1 to 100; 20 by default.
    limit: Option<i64>,
}

/// A provider in the list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AdminProviderView {
    pub id: ProviderId,
    pub business_name: String,
    pub owner_name: String,
    pub email: String,
    /// E.164.
    pub phone: Option<String>,
    pub region: String,
    pub area: Option<String>,
    pub status: ProviderStatus,
    pub lsm: NameView,
    /// 1 to 5; 0 without reviews.
    pub rating: f64,
    /// Paid ones.
    pub total_jobs: i32,
    pub total_earnings: Cents,
    pub warnings: i32,
    pub created_at: Timestamp,
}

/// Lists the providers of all regions.
///
/// # Errors
/// 400 a parameter breaks a rule.
#[utoipa::path(get, path = "/admin/providers", tag = "admin", security(("admin" = [])), params(AdminProvidersQuery),
    responses((status = 200, body = Page<AdminProviderView>)))]
async fn providers(
    State(pooler): State<Pooler>,
    _who: Admin,
    Query(query): Query<AdminProvidersQuery>,
) -> Result<Json<Page<AdminProviderView>>> {
    let mut rules = Fields::new();
    let search = list::pattern(&mut rules, query.search);
    let region = rules.optional_text("region", query.region, SHORT_TEXT);
    list::check_stars(&mut rules, query.min_rating, query.max_rating);
    let page = PageRequest::read(&mut rules, query.page, query.limit);
    rules.finish()?;
    let filter = ProviderFilter {
        search: search.as_deref(),
        region: region.as_deref(),
        status: query.status,
        lsm: query.lsm_id,
        min_rating: query.min_rating,
        max_rating: query.max_rating,
        order: query.sort_by.unwrap_or(ProviderOrder::CreatedAt),
        direction: query.sort_order.unwrap_or(SortOrder::Desc),
        page,
    };
    let (providers, total) = queries::list(&pooler, filter).await?;
    Ok(Json(Page::new(providers, total, page)))
}

/// A provider in full.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AdminProviderDetailsView {
    pub id: ProviderId,
    pub business_name: String,
    pub owner: OwnerView,
    pub description: Option<String>,
    /// Years.
    pub experience: Option<i32>,
    pub location: Option<String>,
    pub website_url: Option<String>,
    pub region: String,
    pub area: Option<String>,
    /// The primary ZIP code.
    pub zipcode: Option<String>,
    /// ZIP codes served, the primary one first.
    pub service_areas: Vec<String>,
    pub services: Vec<ServiceNameView>,
    pub min_price: Option<Cents>,
    pub max_price: Option<Cents>,
    pub status: ProviderStatus,
    pub lsm: NameView,
    pub statistics: ProviderFiguresView,
    pub documents: Vec<DocumentView>,
    /// Why the LSM turned the provider down.
    pub rejection_reason: Option<String>,
    pub approved_at: Option<Timestamp>,
    pub last_availability_confirmed_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// Who runs the business.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OwnerView {
    /// First and last name.
    pub name: String,
    pub email: String,
    /// E.164.
    pub phone_number: Option<String>,
}

/// A service by its name.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ServiceNameView {
    pub id: ServiceId,
    pub name: String,
    pub category: String,
}

/// The figures of a provider.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderFiguresView {
    /// 1 to 5; 0 without reviews.
    pub average_rating: f64,
    /// Paid ones.
    pub total_jobs: i32,
    pub total_revenue: Cents,
    /// New, in progress, or completed and not paid.
    pub open_jobs: i64,
    pub reviews: i64,
    pub warnings: i32,
}

/// Returns one provider.
///
/// # Errors
/// 404 no such provider.
#[utoipa::path(get, path = "/admin/providers/{id}", tag = "admin", security(("admin" = [])),
    params(("id" = ProviderId, Path)),
    responses(
        (status = 200, body = AdminProviderDetailsView),
        (status = 404, description = "No such provider"),
    ))]
async fn provider(
    State(pooler): State<Pooler>,
    _who: Admin,
    Path(id): Path<ProviderId>,
) -> Result<Json<AdminProviderDetailsView>> {
    queries::find(&pooler, id).await?.map(Json).ok_or(Error::NotFound("provider"))
}
