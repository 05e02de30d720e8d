//! `/provider/dashboard`.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use crate::auth::Provider;
use crate::error::{Error, Result};
use crate::providers::ProviderStatus;
use crate::state::ApiState;
use crate::types::{Cents, JobId, JobStatus, ReviewId, Timestamp};
use crate::web::extract::Json;
use doors::Pooler;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(dashboard))
}

/// A provider's dashboard.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderDashboardView {
    pub summary: ProviderSummaryView,
    pub jobs: ProviderJobCountsView,
    pub pending_actions: PendingActionsView,
    /// The last five.
    pub recent_jobs: Vec<ProviderRecentJobView>,
    /// The last five.
    pub recent_feedback: Vec<ProviderRecentFeedbackView>,
}

/// The provider in numbers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderSummaryView {
    /// Jobs done and paid.
    pub total_jobs: i32,
    /// The earnings from them, in dollars.
    pub total_earnings: Cents,
    /// The mean of all reviews; 0 without any.
    pub average_rating: f64,
    /// The number of missed deadlines.
    pub warnings: i32,
    pub last_availability_confirmed_at: Option<Timestamp>,
}

/// The number of jobs by status.
#[derive(Serialize, ToSchema)]
pub(super) struct ProviderJobCountsView {
    pub new: i64,
    pub in_progress: i64,
    pub completed: i64,
    pub paid: i64,
    pub cancelled: i64,
    pub rejected_by_sp: i64,
}

/// The number of jobs that wait for the provider, by status.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PendingActionsView {
    /// New jobs that are not accepted.
    pub new_job_requests: i64,
    /// Jobs in progress.
    pub jobs_to_complete: i64,
    /// Completed jobs that are not paid.
    pub payments_to_mark: i64,
}

/// A job among the last ones.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderRecentJobView {
    pub id: JobId,
    /// The service's name.
    pub service: String,
    /// The customer's first and last name.
    pub customer: String,
    pub status: JobStatus,
    pub price: Cents,
    pub scheduled_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// A review among the last ones.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderRecentFeedbackView {
    pub id: ReviewId,
    pub job_id: JobId,
    /// The service's name.
    pub service: String,
    /// The customer's first and last name.
    pub customer: String,
    /// 1 to 5.
    pub rating: i16,
    pub feedback: Option<String>,
    pub created_at: Timestamp,
}

/// Returns the calling provider's dashboard.
///
/// # Errors
/// 403 the LSM has not approved the provider yet. 404 the account no longer exists. 409 the LSM has rejected it.
#[utoipa::path(get, path = "/provider/dashboard", tag = "providers", security(("provider" = [])),
    responses(
        (status = 200, body = ProviderDashboardView),
        (status = 403, description = "Not a provider, or the LSM has not approved it yet"),
        (status = 409, description = "The LSM has rejected the provider"),
    ))]
async fn dashboard(State(pooler): State<Pooler>, who: Provider) -> Result<Json<ProviderDashboardView>> {
    let (status, dashboard) = queries::find(&pooler, who.user_id).await?.ok_or(Error::NotFound("provider"))?;
    match status {
        // Clients show pages of their own for these two: they know them by the status 403 and by the word `rejected`.
        ProviderStatus::Pending => {
            Err(Error::Forbidden("provider_pending", "your account is pending: your LSM has not approved it yet"))
        }
        ProviderStatus::Rejected => {
            Err(Error::Conflict("provider_rejected", "your account was rejected by your LSM".into()))
        }
        ProviderStatus::Active | ProviderStatus::Inactive | ProviderStatus::Banned => Ok(Json(dashboard)),
    }
}
