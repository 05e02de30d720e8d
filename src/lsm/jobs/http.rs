//! `/lsm/jobs`.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use crate::auth::Lsm;
use crate::error::Result;
use crate::providers::JobsQuery;
use crate::state::ApiState;
use crate::types::{Cents, JobId, JobStatus, ProviderId, Timestamp};
use crate::web::extract::{Json, Query};
use crate::web::page::Pagination;
use doors::Pooler;

pub(in crate::lsm) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(jobs))
}

/// A selection by provider.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
struct OfProviderQuery {
    /// Returns only jobs of this provider.
    provider_id: Option<ProviderId>,
}

/// A page of the jobs, and what all pages hold.
#[derive(Serialize, ToSchema)]
struct LsmJobsView {
    data: Vec<LsmJobView>,
    summary: LsmJobsSummaryView,
    pagination: Pagination,
}

/// The jobs of all pages.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LsmJobsSummaryView {
    pub total_jobs: i64,
    /// The sum of their prices.
    pub total_value: Cents,
}

/// A job of one of the LSM's providers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LsmJobView {
    pub id: JobId,
    /// The service's name.
    pub service: String,
    pub category: String,
    /// First and last name.
    pub customer: String,
    /// The business's name.
    pub provider: String,
    pub provider_id: ProviderId,
    pub status: JobStatus,
    pub price: Cents,
    pub scheduled_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// Lists the jobs of the calling LSM's providers, newest first.
///
/// # Errors
/// 400 a parameter breaks a rule.
#[utoipa::path(get, path = "/lsm/jobs", tag = "lsm", security(("local_service_manager" = [])),
    params(OfProviderQuery, JobsQuery),
    responses((status = 200, body = LsmJobsView)))]
async fn jobs(
    State(pooler): State<Pooler>,
    who: Lsm,
    Query(OfProviderQuery { provider_id }): Query<OfProviderQuery>,
    Query(query): Query<JobsQuery>,
) -> Result<Json<LsmJobsView>> {
    let filter = query.check()?;
    let (data, summary) = queries::list(&pooler, who.user_id, provider_id, &filter).await?;
    let pagination = Pagination::new(summary.total_jobs, filter.page);
    Ok(Json(LsmJobsView { data, summary, pagination }))
}
