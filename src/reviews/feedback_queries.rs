//! A review being given, and jobs that wait for one.

use chrono::{DateTime, Utc};

use crate::jobs::Action;
use crate::types::{CustomerId, JobId, ProviderId, ReviewId, UserId};
use doors::{Pooler, Tx};

/// The most jobs in the list of those without a review.
pub const MAX_PENDING: i64 = 100;

/// Locks a provider's row until the transaction ends, as every change of its reviews must, before the change.
///
/// # Errors
/// Those of the database.
pub async fn lock_provider(tx: &mut Tx<Pooler>, provider: ProviderId) -> sqlx::Result<()> {
    sqlx::query!("select id from stm.providers where id = $1 for no key update", provider.0)
        .fetch_optional(tx)
        .await
        .map(drop)
}

/// A review to be inserted.
#[derive(Debug)]
pub struct NewReview {
    /// Which job it is about.
    pub job_id: JobId,
    /// Who gives it.
    pub customer_id: CustomerId,
    /// Of whom.
    pub provider_id: ProviderId,
    /// 1 to 5.
    pub rating: i16,
    /// Why.
    pub feedback: Option<String>,
    /// 1 to 5.
    pub punctuality_rating: Option<i16>,
    /// How long the provider took to answer.
    pub response_time_minutes: Option<i32>,
}

/// Inserts a review of a paid job, and notes it among the job's events. `None`: the job has one already.
///
/// # Errors
/// Those of the database.
pub async fn insert(tx: &mut Tx<Pooler>, actor: UserId, review: &NewReview) -> sqlx::Result<Option<ReviewId>> {
    sqlx::query_scalar!(
        r#"with review as (
               insert into stm.reviews (
                   job_id, customer_id, provider_id, rating, feedback, punctuality_rating, response_time_minutes)
               values ($2, $3, $4, $5, $6, $7, $8)
               on conflict on constraint reviews_once_per_job do nothing
               returning id, job_id
           ), event as (
               insert into stm.job_events (job_id, actor_id, action, from_status, to_status)
               select review.job_id, $1, $9, 'paid', 'paid' from review
           )
           select id as "id: ReviewId" from review"#,
        actor.0,
        review.job_id.0,
        review.customer_id.0,
        review.provider_id.0,
        review.rating,
        review.feedback,
        review.punctuality_rating,
        review.response_time_minutes,
        Action::Review.as_str(),
    )
    .fetch_optional(tx)
    .await
}

/// Sets a provider's rating to the mean of its reviews, 0 without any. The provider's row must have been
/// locked by an earlier statement: only then does this one see every review that was committed before.
///
/// # Errors
/// Those of the database.
pub async fn set_rating(tx: &mut Tx<Pooler>, provider: ProviderId) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.providers
         set rating = (select coalesce(round(avg(r.rating), 2), 0) from stm.reviews r where r.provider_id = $1),
             updated_at = now()
         where id = $1",
        provider.0,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// A paid job without a review.
#[derive(Debug)]
pub struct UnreviewedRow {
    /// Id.
    pub job_id: JobId,
    /// The service's name.
    pub service: String,
    /// The name of the business.
    pub provider: String,
    /// When it was done.
    pub completed_at: Option<DateTime<Utc>>,
    /// What was paid, in cents.
    pub amount_cents: i64,
    /// How many such jobs there are.
    pub total: i64,
}

/// The paid jobs without a review of a user who is a customer, newest first, at most [`MAX_PENDING`].
///
/// # Errors
/// Those of the database.
pub async fn list_unreviewed(pooler: &Pooler, user_id: UserId) -> sqlx::Result<Vec<UnreviewedRow>> {
    sqlx::query_as!(
        UnreviewedRow,
        r#"select j.id as "job_id: JobId", s.name as service, p.business_name as provider, j.completed_at,
                  j.price_cents as amount_cents, count(*) over () as "total!"
           from stm.jobs j
           join stm.services s on s.id = j.service_id
           join stm.providers p on p.id = j.provider_id
           where j.customer_id = (select c.id from stm.customers c where c.user_id = $1)
             and j.status = 'paid'
             and not exists (select from stm.reviews r where r.job_id = j.id)
           order by j.id desc
           limit $2"#,
        user_id.0,
        MAX_PENDING,
    )
    .fetch_all(pooler)
    .await
}
