//! What a customer's dashboard shows.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use sqlx::types::Json;

use crate::db::Pooler;
use crate::types::{JobId, JobStatus, ReviewId, UserId};

/// A customer's dashboard.
#[derive(Debug)]
pub struct DashboardRow {
    /// Jobs ever requested.
    pub total_jobs: i64,
    /// The prices of paid jobs, in cents.
    pub total_spent_cents: i64,
    /// Paid jobs without a review.
    pub pending_feedback: i64,
    /// Jobs in each state: requested.
    pub new: i64,
    /// Agreed upon.
    pub in_progress: i64,
    /// Done, not paid.
    pub completed: i64,
    /// Done and paid.
    pub paid: i64,
    /// Given up.
    pub cancelled: i64,
    /// Turned down.
    pub rejected_by_sp: i64,
    /// The last five jobs.
    pub recent_jobs: Json<Vec<RecentJobRow>>,
    /// The last five reviews.
    pub recent_feedback: Json<Vec<RecentFeedbackRow>>,
}

/// A job among the last ones.
#[derive(Debug, Deserialize)]
pub struct RecentJobRow {
    /// The job.
    pub id: JobId,
    /// The service's name.
    pub service: String,
    /// The name of the business.
    pub provider: String,
    /// Where it is between request and payment.
    pub status: JobStatus,
    /// In cents.
    pub price_cents: i64,
    /// The appointment.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// When it was requested.
    pub created_at: DateTime<Utc>,
}

/// A review among the last ones.
#[derive(Debug, Deserialize)]
pub struct RecentFeedbackRow {
    /// The review.
    pub id: ReviewId,
    /// Which job it is about.
    pub job_id: JobId,
    /// The service's name.
    pub service: String,
    /// The name of the business.
    pub provider: String,
    /// 1 to 5.
    pub rating: i16,
    /// Why.
    pub feedback: Option<String>,
    /// When it was given.
    pub created_at: DateTime<Utc>,
}

/// The dashboard of a user who is a customer and not banned.
///
/// # Errors
/// Those of the database.
pub async fn find(pooler: &Pooler, user_id: UserId) -> sqlx::Result<Option<DashboardRow>> {
    sqlx::query_as!(
        DashboardRow,
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
    .await
}
