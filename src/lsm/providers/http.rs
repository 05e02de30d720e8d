//! `/lsm/providers`: the list, and one provider.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use crate::auth::Lsm;
use crate::error::{Error, Result};
use crate::providers::{DocumentView, OfferedServiceView, ProviderStatus};
use crate::state::ApiState;
use crate::types::{Cents, JobId, JobStatus, ProviderId, ReviewId, Timestamp};
use crate::web::extract::{Json, Path, Query};
use crate::web::fields::Fields;
use crate::web::page::{PageRequest, Pagination};
use doors::Pooler;

/// The most providers in one answer: today's clients ask for all of them at once.
const MAX_PROVIDERS: i64 = 1000;

pub(in crate::lsm) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(providers)).routes(routes!(provider))
}

/// A selection of the providers.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct LsmProvidersQuery {
    /// Returns only providers in this status.
    #[param(inline)]
    status: Option<ProviderStatus>,
    /// The number of the page, from 1.
    page: Option<i64>,
    /// The maximum number of rows, 1 to 100. Without it and `page`: 1,000.
    limit: Option<i64>,
}

/// A page of the providers.
#[derive(Serialize, ToSchema)]
struct LsmProvidersView {
    providers: Vec<LsmProviderListedView>,
    pagination: Pagination,
}

/// A provider in the list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LsmProviderListedView {
    pub id: ProviderId,
    pub business_name: String,
    pub status: ProviderStatus,
    /// Why the LSM turned the provider down.
    pub rejection_reason: Option<String>,
    /// The mean of all reviews; 0 without any.
    pub rating: f64,
    /// Years; 0 if the provider does not say.
    pub experience: i32,
    pub user: LsmProviderUserView,
    /// ZIP codes, the primary one first.
    pub service_areas: Vec<String>,
    pub services: Vec<ServiceNameView>,
    pub document_count: i64,
    pub job_count: i64,
    #[serde(rename = "created_at")]
    pub created_at: Timestamp,
}

/// The provider's user.
#[derive(Serialize, ToSchema)]
pub(super) struct LsmProviderUserView {
    pub first_name: String,
    pub last_name: String,
    pub email: String,
    /// E.164; empty if there is none.
    pub phone_number: String,
}

/// A service that a provider offers, by name.
#[derive(Serialize, ToSchema)]
#[schema(as = LsmServiceNameView)]
pub(super) struct ServiceNameView {
    pub name: String,
}

/// Lists the calling LSM's providers, newest first.
///
/// # Errors
/// 400 a parameter breaks a rule.
#[utoipa::path(get, path = "/lsm/providers", tag = "lsm", security(("local_service_manager" = [])),
    params(LsmProvidersQuery),
    responses((status = 200, body = LsmProvidersView)))]
async fn providers(
    State(pooler): State<Pooler>,
    who: Lsm,
    Query(query): Query<LsmProvidersQuery>,
) -> Result<Json<LsmProvidersView>> {
    let mut rules = Fields::new();
    let page = match (query.page, query.limit) {
        (None, None) => PageRequest { page: 1, limit: MAX_PROVIDERS },
        (page, limit) => PageRequest::read(&mut rules, page, limit),
    };
    rules.finish()?;
    let (providers, total) = queries::list(&pooler, who.user_id, query.status, page).await?;
    Ok(Json(LsmProvidersView { providers, pagination: Pagination::new(total, page) }))
}

/// A provider in full.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LsmProviderDetailsView {
    pub provider: LsmProviderView,
    pub statistics: LsmProviderStatisticsView,
    pub documents: Vec<DocumentView>,
    /// ZIP codes, the primary one first.
    pub service_areas: Vec<String>,
    pub services: Vec<OfferedServiceView>,
    /// The last ten.
    pub recent_jobs: Vec<LsmRecentJobView>,
    /// The last ten.
    pub recent_feedback: Vec<LsmRecentFeedbackView>,
}

/// What the provider and the LSM say about it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LsmProviderView {
    pub id: ProviderId,
    pub business_name: String,
    pub user: LsmProviderOwnerView,
    pub status: ProviderStatus,
    /// Why the LSM turned the provider down.
    pub rejection_reason: Option<String>,
    /// Whether the LSM has asked for a ban on which no admin has decided.
    pub ban_requested: bool,
    /// The mean of all reviews; 0 without any.
    pub rating: f64,
    /// Years; 0 if the provider does not say.
    pub experience: i32,
    pub experience_level: Option<String>,
    pub description: Option<String>,
    pub location: Option<String>,
    pub website_url: Option<String>,
    /// The number of missed deadlines.
    pub warnings: i32,
    /// Jobs done and paid.
    pub total_jobs: i32,
    /// The earnings from them.
    pub earnings: Cents,
    pub created_at: Timestamp,
    /// When the provider was approved.
    pub approved_at: Option<Timestamp>,
}

/// The provider's user.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LsmProviderOwnerView {
    /// First and last name.
    pub name: String,
    pub email: String,
    /// E.164; empty if there is none.
    pub phone: String,
    pub joined_at: Timestamp,
    pub last_login: Option<Timestamp>,
}

/// The provider's history in numbers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LsmProviderStatisticsView {
    /// Jobs in any status.
    pub total_jobs: i64,
    /// Jobs that are done, paid or not.
    pub completed_jobs: i64,
    pub cancelled_jobs: i64,
    /// Jobs that are new or in progress.
    pub active_jobs: i64,
    /// 0 without reviews.
    pub average_rating: f64,
    pub total_reviews: i64,
}

/// A job among the last ones.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LsmRecentJobView {
    pub id: JobId,
    /// The service's name.
    pub service: String,
    /// First and last name.
    pub customer: String,
    pub status: JobStatus,
    pub price: Cents,
    pub completed_at: Option<Timestamp>,
}

/// A review among the last ones.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LsmRecentFeedbackView {
    pub id: ReviewId,
    /// 1 to 5.
    pub rating: i16,
    /// First and last name.
    pub customer: String,
    pub feedback: Option<String>,
    pub created_at: Timestamp,
}

/// Returns one of the calling LSM's providers.
///
/// # Errors
/// 404 no such provider, or another LSM's.
#[utoipa::path(get, path = "/lsm/providers/{id}", tag = "lsm", security(("local_service_manager" = [])),
    params(("id" = ProviderId, Path)),
    responses(
        (status = 200, body = LsmProviderDetailsView),
        (status = 404, description = "No such provider, or another LSM's"),
    ))]
async fn provider(
    State(pooler): State<Pooler>,
    who: Lsm,
    Path(id): Path<ProviderId>,
) -> Result<Json<LsmProviderDetailsView>> {
    let details = queries::find(&pooler, id, who.user_id).await?.ok_or(Error::NotFound("provider"))?;
    Ok(Json(details))
}
