//! SQL of a customer's dashboard.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use sqlx::types::Json;

use super::http::{
    CustomerDashboardView, CustomerJobCountsView, CustomerRecentFeedbackView, CustomerRecentJobView,
    CustomerSummaryView,
};
use crate::types::{Cents, JobId, JobStatus, ReviewId, Timestamp, UserId};
use doors::Pooler;

/// A recent job, as its JSON in the query.
#[derive(Debug, Deserialize)]
struct RecentJobRow {
    id: JobId,
    service: String,
    provider: String,
    status: JobStatus,
    price_cents: i64,
    scheduled_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

/// A recent review, as its JSON in the query.
#[derive(Debug, Deserialize)]
struct RecentFeedbackRow {
    id: ReviewId,
    job_id: JobId,
    service: String,
    provider: String,
    rating: i16,
    feedback: Option<String>,
    created_at: DateTime<Utc>,
}

/// The dashboard of a user who is a customer and not banned.
pub(super) async fn find(pooler: &Pooler, user_id: UserId) -> sqlx::Result<Option<CustomerDashboardView>> {
    let row = sqlx::query!(
        r#"select total_jobs as "total_jobs!", total_spent_cents as "total_spent_cents!",
                  pending_feedback as "pending_feedback!", new as "new!",
                  in_progress as "in_progress!", completed as "completed!", paid as "paid!",
                  cancelled as "cancelled!", rejected_by_sp as "rejected_by_sp!",
                  recent_jobs as "recent_jobs!: Json<Vec<RecentJobRow>>",
                  recent_feedback as "recent_feedback!: Json<Vec<RecentFeedbackRow>>"
           from stm.customer_dashboard_v1($1)"#,
        user_id.0,
    )
    .fetch_optional(pooler)
    .await?;
    Ok(row.map(|row| CustomerDashboardView {
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
    }))
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
