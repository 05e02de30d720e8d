//! SQL of a provider's reviews.

use std::ops::RangeInclusive;

use super::http::{ProviderReviewView, ReviewedJobView, ReviewerView};
use super::types::{ReviewStats, StarCounts};
use crate::types::{Cents, JobId, ReviewId, Timestamp, UserId};
use crate::web::page::PageRequest;
use doors::Pooler;

/// A page of the reviews with so many stars of a user who is a provider, newest first; and how many there are.
pub(crate) async fn list(
    pooler: &Pooler,
    user_id: UserId,
    stars: RangeInclusive<i16>,
    page: PageRequest,
) -> sqlx::Result<(Vec<ProviderReviewView>, i64)> {
    let rows = sqlx::query!(
        r#"select n.total as "total!",
                  r.id as "id?: ReviewId", r.job_id as "job_id?: JobId", s.name as "service?", s.category as "category?",
                  j.price_cents as "price_cents?", j.completed_at as "completed_at?",
                  u.first_name || ' ' || u.last_name as customer_name, r.rating as "rating?", r.feedback as "feedback?",
                  r.punctuality_rating as "punctuality_rating?", r.response_time_minutes as "response_time_minutes?",
                  r.created_at as "created_at?"
           from stm.providers p
           cross join lateral (
               select count(*) as total from stm.reviews n where n.provider_id = p.id and n.rating between $4 and $5
           ) n
           left join lateral (
               select r.id, r.job_id, r.customer_id, r.rating, r.feedback, r.punctuality_rating,
                      r.response_time_minutes, r.created_at
               from stm.reviews r
               where r.provider_id = p.id and r.rating between $4 and $5
               order by r.id desc
               limit $2 offset $3
           ) r on true
           left join stm.jobs j on j.id = r.job_id
           left join stm.services s on s.id = j.service_id
           left join stm.customers c on c.id = r.customer_id
           left join stm.users u on u.id = c.user_id
           where p.user_id = $1
           order by r.id desc"#,
        user_id.0,
        page.limit,
        page.offset(),
        stars.start(),
        stars.end(),
    )
    .fetch_all(pooler)
    .await?;
    let total = rows.first().map_or(0, |row| row.total);
    // A page without reviews is one row of nulls.
    let reviews = rows.into_iter().filter_map(|row| {
        Some(ProviderReviewView {
            id: row.id?,
            job: ReviewedJobView {
                id: row.job_id?,
                service: row.service?,
                category: row.category?,
                price: Cents(row.price_cents?),
                completed_at: row.completed_at.map(Timestamp),
            },
            customer: ReviewerView { name: row.customer_name? },
            rating: row.rating?,
            feedback: row.feedback,
            punctuality_rating: row.punctuality_rating,
            response_time: row.response_time_minutes,
            created_at: row.created_at?.into(),
        })
    });
    Ok((reviews.collect(), total))
}

/// One of the reviews of a user who is a provider.
pub(super) async fn find(pooler: &Pooler, id: ReviewId, user_id: UserId) -> sqlx::Result<Option<ProviderReviewView>> {
    let row = sqlx::query!(
        r#"select r.id as "id: ReviewId", r.job_id as "job_id: JobId", s.name as service, s.category,
                  j.price_cents, j.completed_at, u.first_name || ' ' || u.last_name as "customer_name!",
                  r.rating, r.feedback, r.punctuality_rating,
                  r.response_time_minutes, r.created_at
           from stm.reviews r
           join stm.providers p on p.id = r.provider_id
           join stm.jobs j on j.id = r.job_id
           join stm.services s on s.id = j.service_id
           join stm.customers c on c.id = r.customer_id
           join stm.users u on u.id = c.user_id
           where r.id = $1 and p.user_id = $2"#,
        id.0,
        user_id.0,
    )
    .fetch_optional(pooler)
    .await?;
    Ok(row.map(|row| ProviderReviewView {
        id: row.id,
        job: ReviewedJobView {
            id: row.job_id,
            service: row.service,
            category: row.category,
            price: Cents(row.price_cents),
            completed_at: row.completed_at.map(Timestamp),
        },
        customer: ReviewerView { name: row.customer_name },
        rating: row.rating,
        feedback: row.feedback,
        punctuality_rating: row.punctuality_rating,
        response_time: row.response_time_minutes,
        created_at: row.created_at.into(),
    }))
}

/// The statistics of the reviews of a user who is a provider.
pub(crate) async fn stats(pooler: &Pooler, user_id: UserId) -> sqlx::Result<ReviewStats> {
    let row = sqlx::query!(
        r#"select count(*) filter (where r.rating = 1) as "one!", count(*) filter (where r.rating = 2) as "two!",
                  count(*) filter (where r.rating = 3) as "three!", count(*) filter (where r.rating = 4) as "four!",
                  count(*) filter (where r.rating = 5) as "five!",
                  coalesce(round(avg(r.punctuality_rating), 2), 0)::float8 as "average_punctuality!",
                  coalesce(round(avg(r.response_time_minutes), 2), 0)::float8 as "average_response_time!"
           from stm.reviews r
           where r.provider_id = (select p.id from stm.providers p where p.user_id = $1)"#,
        user_id.0,
    )
    .fetch_one(pooler)
    .await?;
    Ok(ReviewStats {
        stars: StarCounts([row.one, row.two, row.three, row.four, row.five]),
        average_punctuality: row.average_punctuality,
        average_response_time: row.average_response_time,
    })
}
