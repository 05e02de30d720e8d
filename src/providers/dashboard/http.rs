//! `/provider/dashboard`.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, DashboardRow, RecentFeedbackRow, RecentJobRow};
use crate::auth::Provider;
use crate::db::Pooler;
use crate::error::{Error, Result};
use crate::state::ApiState;
use crate::types::{Cents, JobId, JobStatus, ReviewId, Timestamp};
use crate::web::extract::Json;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(dashboard))
}

/// What a provider sees first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProviderDashboardView {
    summary: ProviderSummaryView,
    jobs: ProviderJobCountsView,
    pending_actions: PendingActionsView,
    /// The last five.
    recent_jobs: Vec<ProviderRecentJobView>,
    /// The last five.
    recent_feedback: Vec<ProviderRecentFeedbackView>,
}

/// The provider in numbers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProviderSummaryView {
    /// Jobs done and paid.
    total_jobs: i32,
    /// What they brought, in dollars.
    total_earnings: Cents,
    /// Mean of all reviews, 0 without any.
    average_rating: f64,
    /// How many deadlines were missed.
    warnings: i32,
    last_availability_confirmed_at: Option<Timestamp>,
}

/// How many jobs are in each state.
#[derive(Serialize, ToSchema)]
struct ProviderJobCountsView {
    new: i64,
    in_progress: i64,
    completed: i64,
    paid: i64,
    cancelled: i64,
    rejected_by_sp: i64,
}

/// How many jobs wait for the provider.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PendingActionsView {
    /// New ones that are not accepted.
    new_job_requests: i64,
    /// Those in progress.
    jobs_to_complete: i64,
    /// Completed ones that are not paid.
    payments_to_mark: i64,
}

/// A job among the last ones.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProviderRecentJobView {
    id: JobId,
    /// The service's name.
    service: String,
    /// The customer's first and last name.
    customer: String,
    status: JobStatus,
    price: Cents,
    scheduled_at: Option<Timestamp>,
    created_at: Timestamp,
}

/// A review among the last ones.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProviderRecentFeedbackView {
    id: ReviewId,
    job_id: JobId,
    /// The service's name.
    service: String,
    /// The customer's first and last name.
    customer: String,
    /// 1 to 5.
    rating: i16,
    feedback: Option<String>,
    created_at: Timestamp,
}

impl From<RecentJobRow> for ProviderRecentJobView {
    fn from(row: RecentJobRow) -> Self {
        Self {
            id: row.id,
            service: row.service,
            customer: row.customer,
            status: row.status,
            price: Cents(row.price_cents),
            scheduled_at: row.scheduled_at.map(Timestamp),
            created_at: row.created_at.into(),
        }
    }
}

impl From<RecentFeedbackRow> for ProviderRecentFeedbackView {
    fn from(row: RecentFeedbackRow) -> Self {
        Self {
            id: row.id,
            job_id: row.job_id,
            service: row.service,
            customer: row.customer,
            rating: row.rating,
            feedback: row.feedback,
            created_at: row.created_at.into(),
        }
    }
}

impl From<DashboardRow> for ProviderDashboardView {
    fn from(row: DashboardRow) -> Self {
        Self {
            summary: ProviderSummaryView {
                total_jobs: row.total_jobs,
                total_earnings: Cents(row.earnings_cents),
                average_rating: row.rating,
                warnings: row.warnings,
                last_availability_confirmed_at: row.last_availability_confirmed_at.map(Timestamp),
            },
            jobs: ProviderJobCountsView {
                new: row.new,
                in_progress: row.in_progress,
                completed: row.completed,
                paid: row.paid,
                cancelled: row.cancelled,
                rejected_by_sp: row.rejected_by_sp,
            },
            pending_actions: PendingActionsView {
                new_job_requests: row.new_job_requests,
                jobs_to_complete: row.in_progress,
                payments_to_mark: row.completed,
            },
            recent_jobs: row.recent_jobs.0.into_iter().map(Into::into).collect(),
            recent_feedback: row.recent_feedback.0.into_iter().map(Into::into).collect(),
        }
    }
}

/// What the calling provider sees first.
///
/// # Errors
/// 404 the account is gone.
#[utoipa::path(get, path = "/provider/dashboard", tag = "providers", security(("provider" = [])),
    responses((status = 200, body = ProviderDashboardView)))]
async fn dashboard(State(pooler): State<Pooler>, who: Provider) -> Result<Json<ProviderDashboardView>> {
    let row = queries::find(&pooler, who.user_id).await?;
    row.map(|row| Json(row.into())).ok_or(Error::NotFound("provider"))
}
