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
        r#"select n.total as "total_jobs!", n.spent_cents as "total_spent_cents!", n.paid - n.reviewed as "pending_feedback!",
                  n.new as "new!", n.in_progress as "in_progress!", n.completed as "completed!", n.paid as "paid!",
                  n.cancelled as "cancelled!", n.rejected_by_sp as "rejected_by_sp!",
                  coalesce((
                      select json_agg(recent order by recent.id desc)
                      from (select j.id, s.name as service, p.business_name as provider, j.status, j.price_cents,
                                   j.scheduled_at, j.created_at
                            from (select j.id, j.service_id, j.provider_id, j.status, j.price_cents, j.scheduled_at, j.created_at
                                  from stm.jobs j
                                  where j.customer_id = c.id
                                  order by j.id desc
                                  limit 5) j
                            join stm.services s on s.id = j.service_id
                            join stm.providers p on p.id = j.provider_id) recent
                  ), '[]') as "recent_jobs!: Json<Vec<RecentJobRow>>",
                  coalesce((
                      select json_agg(recent order by recent.id desc)
                      from (select r.id, r.job_id, s.name as service, p.business_name as provider, r.rating, r.feedback,
                                   r.created_at
                            from (select r.id, r.job_id, r.provider_id, r.rating, r.feedback, r.created_at
                                  from stm.reviews r
                                  where r.customer_id = c.id
                                  order by r.id desc
                                  limit 5) r
                            join stm.jobs j on j.id = r.job_id
                            join stm.services s on s.id = j.service_id
                            join stm.providers p on p.id = r.provider_id) recent
                  ), '[]') as "recent_feedback!: Json<Vec<RecentFeedbackRow>>"
           from stm.customers c
           join stm.users u on u.id = c.user_id
           cross join lateral (
               select count(*) as total,
                      coalesce(sum(j.price_cents) filter (where j.status = 'paid'), 0)::bigint as spent_cents,
                      count(*) filter (where j.status = 'new') as new,
                      count(*) filter (where j.status = 'in_progress') as in_progress,
                      count(*) filter (where j.status = 'completed') as completed,
                      count(*) filter (where j.status = 'paid') as paid,
                      count(r.id) filter (where j.status = 'paid') as reviewed,
                      count(*) filter (where j.status = 'cancelled') as cancelled,
                      count(*) filter (where j.status = 'rejected_by_sp') as rejected_by_sp
               from stm.jobs j
               left join stm.reviews r on r.job_id = j.id
               where j.customer_id = c.id
           ) n
           where c.user_id = $1 and u.banned_at is null"#,
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
