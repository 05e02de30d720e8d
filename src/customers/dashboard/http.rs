//! `/customers/dashboard`.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use crate::auth::Customer;
use crate::error::{Error, Result};
use crate::state::ApiState;
use crate::types::{Cents, JobId, JobStatus, ReviewId, Timestamp};
use crate::web::extract::Json;
use doors::Pooler;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(dashboard))
}

/// A customer's dashboard.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CustomerDashboardView {
    pub summary: CustomerSummaryView,
    pub jobs: CustomerJobCountsView,
    /// The last five.
    pub recent_jobs: Vec<CustomerRecentJobView>,
    /// The last five.
    pub recent_feedback: Vec<CustomerRecentFeedbackView>,
}

/// The customer in numbers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CustomerSummaryView {
    /// Jobs ever requested.
    pub total_jobs: i64,
    /// The sum of the prices of paid jobs, in dollars.
    pub total_spent: Cents,
    /// Paid jobs without a review.
    pub pending_feedback: i64,
}

/// The number of jobs by status.
#[derive(Serialize, ToSchema)]
pub(super) struct CustomerJobCountsView {
    pub new: i64,
    pub in_progress: i64,
    pub completed: i64,
    pub paid: i64,
    pub cancelled: i64,
    pub rejected_by_sp: i64,
}

/// A job among the last ones.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CustomerRecentJobView {
    pub id: JobId,
    /// The service's name.
    pub service: String,
    /// The name of the business.
    pub provider: String,
    pub status: JobStatus,
    pub price: Cents,
    pub scheduled_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// A review among the last ones.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CustomerRecentFeedbackView {
    pub id: ReviewId,
    pub job_id: JobId,
    /// The service's name.
    pub service: String,
    /// The name of the business.
    pub provider: String,
    /// 1 to 5.
    pub rating: i16,
    pub feedback: Option<String>,
    pub created_at: Timestamp,
}

/// Returns the calling customer's dashboard.
///
/// # Errors
/// 404 the account is banned or no longer exists.
#[utoipa::path(get, path = "/customers/dashboard", tag = "customers", security(("customer" = [])),
    responses((status = 200, body = CustomerDashboardView)))]
async fn dashboard(State(pooler): State<Pooler>, who: Customer) -> Result<Json<CustomerDashboardView>> {
    queries::find(&pooler, who.user_id).await?.map(Json).ok_or(Error::NotFound("customer"))
}
