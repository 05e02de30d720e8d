//! SQL of a provider's dashboard.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use sqlx::types::Json;

use super::http::{
    PendingActionsView, ProviderDashboardView, ProviderJobCountsView, ProviderRecentFeedbackView,
    ProviderRecentJobView, ProviderSummaryView,
};
use crate::providers::ProviderStatus;
use crate::types::{Cents, JobId, JobStatus, ReviewId, Timestamp, UserId};
use doors::Pooler;

/// A recent job, as its JSON in the query.
#[derive(Debug, Deserialize)]
struct RecentJobRow {
    id: JobId,
    service: String,
    customer: String,
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
    customer: String,
    rating: i16,
    feedback: Option<String>,
    created_at: DateTime<Utc>,
}

/// The status and the dashboard of a user who is a provider.
pub(super) async fn find(
    pooler: &Pooler,
    user_id: UserId,
) -> sqlx::Result<Option<(ProviderStatus, ProviderDashboardView)>> {
    let row = sqlx::query!(
        r#"select p.status as "provider_status: ProviderStatus", p.total_jobs, p.earnings_cents,
                  p.rating::float8 as "rating!", p.warnings, p.last_availability_confirmed_at,
                  n.new as "new!", n.in_progress as "in_progress!", n.completed as "completed!", n.paid as "paid!",
                  n.cancelled as "cancelled!", n.rejected_by_sp as "rejected_by_sp!",
                  (select count(*) from stm.jobs j where j.provider_id = p.id and j.status = 'new' and not j.sp_accepted)
                      as "new_job_requests!",
                  coalesce((
                      select json_agg(recent order by recent.id desc)
                      from (select j.id, s.name as service, u.first_name || ' ' || u.last_name as customer, j.status,
                                   j.price_cents, j.scheduled_at, j.created_at
                            from (select j.id, j.service_id, j.customer_id, j.status, j.price_cents, j.scheduled_at, j.created_at
                                  from stm.jobs j
                                  where j.provider_id = p.id
                                  order by j.id desc
                                  limit 5) j
                            join stm.services s on s.id = j.service_id
                            join stm.customers c on c.id = j.customer_id
                            join stm.users u on u.id = c.user_id) recent
                  ), '[]') as "recent_jobs!: Json<Vec<RecentJobRow>>",
                  coalesce((
                      select json_agg(recent order by recent.id desc)
                      from (select r.id, r.job_id, s.name as service, u.first_name || ' ' || u.last_name as customer,
                                   r.rating, r.feedback, r.created_at
                            from (select r.id, r.job_id, r.customer_id, r.rating, r.feedback, r.created_at
                                  from stm.reviews r
                                  where r.provider_id = p.id
                                  order by r.id desc
                                  limit 5) r
                            join stm.jobs j on j.id = r.job_id
                            join stm.services s on s.id = j.service_id
                            join stm.customers c on c.id = r.customer_id
                            join stm.users u on u.id = c.user_id) recent
                  ), '[]') as "recent_feedback!: Json<Vec<RecentFeedbackRow>>"
           from stm.providers p
           cross join lateral (
               select count(*) filter (where j.status = 'new') as new,
                      count(*) filter (where j.status = 'in_progress') as in_progress,
                      count(*) filter (where j.status = 'completed') as completed,
                      count(*) filter (where j.status = 'paid') as paid,
                      count(*) filter (where j.status = 'cancelled') as cancelled,
                      count(*) filter (where j.status = 'rejected_by_sp') as rejected_by_sp
               from stm.jobs j
               where j.provider_id = p.id
           ) n
           where p.user_id = $1"#,
        user_id.0,
    )
    .fetch_optional(pooler)
    .await?;
    Ok(row.map(|row| {
        let dashboard = ProviderDashboardView {
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
        };
        (row.provider_status, dashboard)
    }))
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
