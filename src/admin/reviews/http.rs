//! `/admin/reviews`.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, ReviewFilter};
use crate::admin::events::{self, AdminAction, AdminEvent, AdminSubject};
use crate::admin::list::NameView;
use crate::admin::snapshot;
use crate::auth::Admin;
use crate::error::{Error, Result};
use crate::reviews;
use crate::state::ApiState;
use crate::types::{CustomerId, JobId, ProviderId, ReviewId, Timestamp};
use crate::web::MessageView;
use crate::web::extract::{Json, Path, Query};
use crate::web::fields::Fields;
use crate::web::page::{Page, PageRequest};
use doors::Pooler;

pub(in crate::admin) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(stats)).routes(routes!(review, delete))
}

/// A selection of the reviews.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
struct AdminReviewsQuery {
    /// Returns only reviews of this provider.
    provider_id: Option<ProviderId>,
    /// Returns only reviews by this customer.
    customer_id: Option<CustomerId>,
    /// Returns only reviews with at least so many stars.
    min_rating: Option<i16>,
    /// Returns only reviews with at most so many stars.
    max_rating: Option<i16>,
    /// The number of the page, from 1.
    page: Option<i64>,
    /// The maximum number of rows, 1 to 100; 20 by default.
    limit: Option<i64>,
}

/// A review, with who wrote it and whom it is about.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AdminReviewView {
    pub id: ReviewId,
    /// 1 to 5.
    pub rating: i16,
    pub feedback: Option<String>,
    /// 1 to 5.
    pub punctuality_rating: Option<i16>,
    /// How long the provider took to answer, in minutes.
    pub response_time: Option<i32>,
    pub job_id: JobId,
    /// The service's name.
    pub service: String,
    pub customer: NameView,
    pub provider: NameView,
    pub created_at: Timestamp,
}

/// Lists the reviews of everybody, newest first.
///
/// # Errors
/// 400 a parameter breaks a rule.
#[utoipa::path(get, path = "/admin/reviews", tag = "admin", security(("admin" = [])), params(AdminReviewsQuery),
    responses((status = 200, body = Page<AdminReviewView>)))]
async fn list(
    State(pooler): State<Pooler>,
    _who: Admin,
    Query(query): Query<AdminReviewsQuery>,
) -> Result<Json<Page<AdminReviewView>>> {
    let mut rules = Fields::new();
    let is_rating = |rating: Option<i16>| rating.is_none_or(|rating| (1..=5).contains(&rating));
    rules.check("minRating", is_rating(query.min_rating), "must be 1 to 5");
    rules.check("maxRating", is_rating(query.max_rating), "must be 1 to 5");
    let page = PageRequest::read(&mut rules, query.page, query.limit);
    rules.finish()?;
    let filter = ReviewFilter {
        id: None,
        provider: query.provider_id,
        customer: query.customer_id,
        min_rating: query.min_rating.unwrap_or(1),
        max_rating: query.max_rating.unwrap_or(5),
        page,
    };
    let (reviews, total) = queries::list(&pooler, filter).await?;
    Ok(Json(Page::new(reviews, total, page)))
}

/// All reviews, counted.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AdminReviewStatsView)]
pub(super) struct ReviewStatsView {
    total_reviews: i64,
    /// With two decimals; 0 without reviews.
    average_rating: f64,
    /// By stars, `1` to `5`.
    rating_breakdown: BTreeMap<String, i64>,
}

impl ReviewStatsView {
    /// From the numbers of reviews by stars, from one to five.
    pub(super) fn new(counts: [i64; 5]) -> Self {
        let total: i64 = counts.iter().sum();
        let stars: i64 = (1..).zip(counts).map(|(stars, count)| stars * count).sum();
        Self {
            total_reviews: total,
            average_rating: reviews::average(stars, total),
            rating_breakdown: (1..).map(|stars: i32| stars.to_string()).zip(counts).collect(),
        }
    }
}

/// Counts all reviews by stars.
#[utoipa::path(get, path = "/admin/reviews/stats", tag = "admin", security(("admin" = [])),
    responses((status = 200, body = ReviewStatsView)))]
async fn stats(State(pooler): State<Pooler>, _who: Admin) -> Result<Json<ReviewStatsView>> {
    Ok(Json(queries::stats(&pooler).await?))
}

/// Returns one review.
///
/// # Errors
/// 404 no such review.
#[utoipa::path(get, path = "/admin/reviews/{id}", tag = "admin", security(("admin" = [])),
    params(("id" = ReviewId, Path)),
    responses(
        (status = 200, body = AdminReviewView),
        (status = 404, description = "No such review"),
    ))]
async fn review(State(pooler): State<Pooler>, _who: Admin, Path(id): Path<ReviewId>) -> Result<Json<AdminReviewView>> {
    find(&pooler, id).await.map(Json)
}

async fn find(pooler: &Pooler, id: ReviewId) -> Result<AdminReviewView> {
    let page = PageRequest::ONE_ROW;
    let filter = ReviewFilter { id: Some(id), provider: None, customer: None, min_rating: 1, max_rating: 5, page };
    let (reviews, _) = queries::list(pooler, filter).await?;
    reviews.into_iter().next().ok_or(Error::NotFound("review"))
}

/// Deletes a review. The provider's rating is the mean of those that are left.
///
/// # Errors
/// 404 no such review.
#[utoipa::path(delete, path = "/admin/reviews/{id}", tag = "admin", security(("admin" = [])),
    params(("id" = ReviewId, Path)),
    responses(
        (status = 200, body = MessageView),
        (status = 404, description = "No such review"),
    ))]
async fn delete(State(pooler): State<Pooler>, who: Admin, Path(id): Path<ReviewId>) -> Result<Json<MessageView>> {
    let before = find(&pooler, id).await?;
    let mut tx = pooler.write().await?;
    if !reviews::delete(&mut tx, id, ProviderId(before.provider.id)).await? {
        return Err(Error::NotFound("review"));
    }
    let event = AdminEvent {
        actor: who.user_id,
        action: AdminAction::DeleteReview,
        subject: AdminSubject::Review,
        subject_id: Some(id.0),
        before: Some(snapshot(&before)?),
        after: None,
    };
    events::record(&mut tx, &event).await?;
    tx.commit().await?;
    Ok(Json(MessageView::new("Review deleted successfully")))
}
