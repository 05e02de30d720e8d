//! SQL of the list of reviews.

use super::http::{AdminReviewView, ReviewStatsView};
use crate::admin::list::NameView;
use crate::types::{CustomerId, JobId, ProviderId, ReviewId, Timestamp};
use crate::web::page::PageRequest;
use doors::Pooler;

/// A selection of the reviews.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReviewFilter {
    pub id: Option<ReviewId>,
    pub provider: Option<ProviderId>,
    pub customer: Option<CustomerId>,
    pub min_rating: i16,
    pub max_rating: i16,
    pub page: PageRequest,
}

/// A page of the reviews, newest first, and their total number.
pub(super) async fn list(pooler: &Pooler, filter: ReviewFilter) -> sqlx::Result<(Vec<AdminReviewView>, i64)> {
    let rows = sqlx::query!(
        r#"with found as not materialized (
               select r.id
               from stm.reviews r
               where ($1::bigint is null or r.id = $1)
                 and ($2::bigint is null or r.provider_id = $2)
                 and ($3::bigint is null or r.customer_id = $3)
                 and (($4::smallint = 1 and $5::smallint = 5) or r.rating between $4 and $5)
           ), page as (
               select f.id from found f order by f.id desc limit $6 offset $7
           )
           select (select count(*) from found) as "total!", r.id as "id: ReviewId", r.rating, r.feedback,
                  r.punctuality_rating, r.response_time_minutes, r.created_at, j.id as "job_id: JobId", s.name as service,
                  c.id as customer_id, u.first_name || ' ' || u.last_name as "customer_name!", p.id as provider_id,
                  p.business_name
           from page f
           join stm.reviews r on r.id = f.id
           join stm.jobs j on j.id = r.job_id
           join stm.services s on s.id = j.service_id
           join stm.customers c on c.id = r.customer_id
           join stm.users u on u.id = c.user_id
           join stm.providers p on p.id = r.provider_id
           order by r.id desc"#,
        filter.id.map(|id| id.0),
        filter.provider.map(|id| id.0),
        filter.customer.map(|id| id.0),
        filter.min_rating,
        filter.max_rating,
        filter.page.limit,
        filter.page.offset(),
    )
    .fetch_all(pooler)
    .await?;
    let total = match rows.first() {
        Some(row) => row.total,
        None if filter.page.page == 1 => 0,
        None => Box::pin(list(pooler, ReviewFilter { page: PageRequest::ONE_ROW, ..filter })).await?.1,
    };
    let reviews = rows.into_iter().map(|row| AdminReviewView {
        id: row.id,
        rating: row.rating,
        feedback: row.feedback,
        punctuality_rating: row.punctuality_rating,
        response_time: row.response_time_minutes,
        job_id: row.job_id,
        service: row.service,
        customer: NameView { id: row.customer_id, name: row.customer_name },
        provider: NameView { id: row.provider_id, name: row.business_name },
        created_at: Timestamp(row.created_at),
    });
    Ok((reviews.collect(), total))
}

/// Counts all reviews by stars.
pub(super) async fn stats(pooler: &Pooler) -> sqlx::Result<ReviewStatsView> {
    let rows = sqlx::query!(r#"select rating, count(*) as "count!" from stm.reviews group by rating order by rating"#)
        .fetch_all(pooler)
        .await?;
    let count = |stars| rows.iter().find(|row| row.rating == stars).map_or(0, |row| row.count);
    Ok(ReviewStatsView::new([1, 2, 3, 4, 5].map(count)))
}
