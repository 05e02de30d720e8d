//! `/lsm/dashboard`.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use crate::auth::Lsm;
use crate::error::{Error, Result};
use crate::state::ApiState;
use crate::web::extract::Json;
use doors::Pooler;

pub(in crate::lsm) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(dashboard))
}

/// An LSM's dashboard.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LsmDashboardView {
    pub region: String,
    /// Null: the whole region.
    pub area: Option<String>,
    pub summary: LsmSummaryView,
    pub providers: LsmProviderCountsView,
    pub jobs: LsmJobCountsView,
    pub disputes: LsmDisputeCountsView,
    pub recent_activity: LsmRecentActivityView,
}

/// What there is, and what waits for the LSM.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LsmSummaryView {
    pub total_providers: i64,
    pub total_jobs: i64,
    pub pending_service_requests: i64,
    pub pending_disputes: i64,
}

/// The number of providers by status.
#[derive(Serialize, ToSchema)]
pub(super) struct LsmProviderCountsView {
    pub pending: i64,
    pub active: i64,
    pub inactive: i64,
    pub rejected: i64,
    pub banned: i64,
}

/// The number of jobs by status.
#[derive(Serialize, ToSchema)]
pub(super) struct LsmJobCountsView {
    pub new: i64,
    pub in_progress: i64,
    pub completed: i64,
    pub paid: i64,
    pub cancelled: i64,
    pub rejected_by_sp: i64,
}

/// The number of disputes by status.
#[derive(Serialize, ToSchema)]
pub(super) struct LsmDisputeCountsView {
    pub pending: i64,
    pub resolved: i64,
}

/// The last 24 hours.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LsmRecentActivityView {
    #[serde(rename = "newProviders24h")]
    pub new_providers: i64,
    #[serde(rename = "completedJobs24h")]
    pub completed_jobs: i64,
    #[serde(rename = "documentsVerified24h")]
    pub documents_verified: i64,
}

/// Returns the calling LSM's region in numbers.
///
/// # Errors
/// 404 the LSM serves no region any more.
#[utoipa::path(get, path = "/lsm/dashboard", tag = "lsm", security(("local_service_manager" = [])),
    responses(
        (status = 200, body = LsmDashboardView),
        (status = 404, description = "The LSM serves no region any more"),
    ))]
async fn dashboard(State(pooler): State<Pooler>, who: Lsm) -> Result<Json<LsmDashboardView>> {
    queries::find(&pooler, who.user_id).await?.map(Json).ok_or(Error::NotFound("region"))
}
