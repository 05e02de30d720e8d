//! A review being given, and jobs that wait for one.

use super::http::UnreviewedJobView;
use crate::reviews::types::Feedback;
use crate::types::{Cents, CustomerId, JobId, ProviderId, ReviewId, Timestamp, UserId};
use doors::{Pooler, Tx};

/// The most jobs in the list of those without a review.
pub(super) const MAX_PENDING: i64 = 100;

/// Locks a provider's row until the transaction ends, as every change of its reviews must, before the change.
pub(in crate::reviews) async fn lock_provider(tx: &mut Tx<Pooler>, provider: ProviderId) -> sqlx::Result<()> {
    sqlx::query!("select id from stm.providers where id = $1 for no key update", provider.0)
        .fetch_optional(tx)
        .await
        .map(drop)
}

/// Inserts a review of a job. Returns `false` if the job has one already.
pub(super) async fn insert(
    tx: &mut Tx<Pooler>,
    job: JobId,
    customer: CustomerId,
    provider: ProviderId,
    feedback: &Feedback,
) -> sqlx::Result<bool> {
    let inserted = sqlx::query!(
        "insert into stm.reviews (job_id, customer_id, provider_id, rating, feedback, punctuality_rating, response_time_minutes)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict on constraint reviews_once_per_job do nothing",
        job.0,
        customer.0,
        provider.0,
        feedback.rating,
        feedback.text,
        feedback.punctuality_rating,
        feedback.response_time_minutes,
    )
    .execute(tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Deletes a review of a provider. Returns `false` if there is no such review.
pub(in crate::reviews) async fn delete(tx: &mut Tx<Pooler>, id: ReviewId, provider: ProviderId) -> sqlx::Result<bool> {
    let deleted = sqlx::query!("delete from stm.reviews where id = $1 and provider_id = $2", id.0, provider.0)
        .execute(tx)
        .await?;
    Ok(deleted.rows_affected() == 1)
}

/// Sets a provider's rating to the mean of its reviews, 0 without any. The provider's row must have been
/// locked by an earlier statement: only then does this one see every review that was committed before.
pub(in crate::reviews) async fn set_rating(tx: &mut Tx<Pooler>, provider: ProviderId) -> sqlx::Result<()> {
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

/// The paid jobs without a review of a user who is a customer, newest first, at most [`MAX_PENDING`]; and how many there
/// are.
pub(super) async fn list_unreviewed(pooler: &Pooler, user_id: UserId) -> sqlx::Result<(Vec<UnreviewedJobView>, i64)> {
    let rows = sqlx::query!(
        r#"select j.id as "job_id: JobId", s.name as service, p.business_name as provider,
                  coalesce(j.completed_at, j.updated_at) as "completed_at!", j.price_cents as amount_cents,
                  count(*) over () as "total!"
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
    .await?;
    let total = rows.first().map_or(0, |row| row.total);
    let jobs = rows.into_iter().map(|row| UnreviewedJobView {
        job_id: row.job_id,
        service: row.service,
        provider: row.provider,
        completed_at: Timestamp(row.completed_at),
        amount: Cents(row.amount_cents),
    });
    Ok((jobs.collect(), total))
}
