//! `/customers/dashboard`.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, DashboardRow, RecentFeedbackRow, RecentJobRow};
use crate::auth::Customer;
use crate::db::Pooler;
use crate::error::{Error, Result};
use crate::state::ApiState;
use crate::types::{Cents, JobId, JobStatus, ReviewId, Timestamp};
use crate::web::extract::Json;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(dashboard))
}

/// What a customer sees first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CustomerDashboardView {
    summary: CustomerSummaryView,
    jobs: CustomerJobCountsView,
    /// The last five.
    recent_jobs: Vec<CustomerRecentJobView>,
    /// The last five.
    recent_feedback: Vec<CustomerRecentFeedbackView>,
}

/// The customer in numbers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CustomerSummaryView {
    /// Jobs ever requested.
    total_jobs: i64,
    /// The prices of paid jobs, in dollars.
    total_spent: Cents,
    /// Paid jobs without a review.
    pending_feedback: i64,
}

/// How many jobs are in each state.
#[derive(Serialize, ToSchema)]
struct CustomerJobCountsView {
    new: i64,
    in_progress: i64,
    completed: i64,
    paid: i64,
    cancelled: i64,
    rejected_by_sp: i64,
}

/// A job among the last ones.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CustomerRecentJobView {
    id: JobId,
    /// The service's name.
    service: String,
    /// The name of the business.
    provider: String,
    status: JobStatus,
    price: Cents,
    scheduled_at: Option<Timestamp>,
    created_at: Timestamp,
}

/// A review among the last ones.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CustomerRecentFeedbackView {
    id: ReviewId,
    job_id: JobId,
    /// The service's name.
    service: String,
    /// The name of the business.
    provider: String,
    /// 1 to 5.
    rating: i16,
    feedback: Option<String>,
    created_at: Timestamp,
}

impl From<RecentJobRow> for CustomerRecentJobView {
    fn from(row: RecentJobRow) -> Self {
        Self {
            id: row.id,
            service: row.service,
            provider: row.provider,
            status: row.status,
            price: Cents(row.price_cents),
            scheduled_at: row.scheduled_at.map(Timestamp),
            created_at: row.created_at.into(),
        }
    }
}

impl From<RecentFeedbackRow> for CustomerRecentFeedbackView {
    fn from(row: RecentFeedbackRow) -> Self {
        Self {
            id: row.id,
            job_id: row.job_id,
            service: row.service,
            provider: row.provider,
            rating: row.rating,
            feedback: row.feedback,
            created_at: row.created_at.into(),
        }
    }
}

impl From<DashboardRow> for CustomerDashboardView {
    fn from(row: DashboardRow) -> Self {
        Self {
            summary: CustomerSummaryView {
                total_jobs: row.total_jobs,
                total_spent: Cents(row.total_spent_cents),
                pending_feedback: row.pending_feedback,
            },
            jobs: CustomerJobCountsView {
                new: row.new,
                in_progress: row.in_progress,
                completed: row.completed,
                paid: row.paid,
                cancelled: row.cancelled,
                rejected_by_sp: row.rejected_by_sp,
            },
            recent_jobs: row.recent_jobs.0.into_iter().map(Into::into).collect(),
            recent_feedback: row.recent_feedback.0.into_iter().map(Into::into).collect(),
        }
    }
}

/// What the calling customer sees first.
///
/// # Errors
/// 404 the account is banned or gone.
#[utoipa::path(get, path = "/customers/dashboard", tag = "customers", security(("customer" = [])),
    responses((status = 200, body = CustomerDashboardView)))]
async fn dashboard(State(pooler): State<Pooler>, who: Customer) -> Result<Json<CustomerDashboardView>> {
    let row = queries::find(&pooler, who.user_id).await?;
    row.map(|row| Json(row.into())).ok_or(Error::NotFound("customer"))
}
