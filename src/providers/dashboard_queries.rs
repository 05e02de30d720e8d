//! What a provider's dashboard shows.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use sqlx::types::Json;

use crate::db::Pooler;
use crate::types::{JobId, JobStatus, ReviewId, UserId};

/// A provider's dashboard.
#[derive(Debug)]
pub struct DashboardRow {
    /// Jobs done and paid.
    pub total_jobs: i32,
    /// What they brought, in cents.
    pub earnings_cents: i64,
    /// Mean of all reviews, 0 without any.
    pub rating: f64,
    /// How many deadlines were missed.
    pub warnings: i32,
    /// When the availability was last confirmed.
    pub last_availability_confirmed_at: Option<DateTime<Utc>>,
    /// Jobs in each state.
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
    /// New jobs that the provider has not accepted.
    pub new_job_requests: i64,
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
    /// The customer's first and last name.
    pub customer: String,
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
    /// The customer's first and last name.
    pub customer: String,
    /// 1 to 5.
    pub rating: i16,
    /// Why.
    pub feedback: Option<String>,
    /// When it was given.
    pub created_at: DateTime<Utc>,
}

/// The dashboard of a user who is a provider.
///
/// # Errors
/// Those of the database.
pub async fn find(pooler: &Pooler, user_id: UserId) -> sqlx::Result<Option<DashboardRow>> {
    sqlx::query_as!(
        DashboardRow,
        r#"select p.total_jobs, p.earnings_cents, p.rating::float8 as "rating!", p.warnings,
                  p.last_availability_confirmed_at,
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
    .await
}
