//! `/provider/reviews`: what is said of the caller.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, ReviewRow};
use super::types::StarCounts;
use crate::auth::Provider;
use crate::error::{Error, Result};
use crate::state::ApiState;
use crate::types::{JobId, ReviewId, Timestamp};
use crate::web::extract::{Json, Path, Query};
use crate::web::fields::Fields;
use crate::web::page::{Page, PageRequest};
use doors::Pooler;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(reviews)).routes(routes!(stats)).routes(routes!(review))
}

/// Which page.
#[derive(Deserialize, IntoParams)]
struct ReviewsQuery {
    /// 1 and up.
    page: Option<i64>,
    /// At most so many, 1 to 100; 20 unless given.
    limit: Option<i64>,
}

/// A review as the provider sees it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProviderReviewView {
    id: ReviewId,
    job_id: JobId,
    /// The service's name.
    service: String,
    customer: ReviewerView,
    /// 1 to 5.
    rating: i16,
    feedback: Option<String>,
    /// 1 to 5.
    punctuality_rating: Option<i16>,
    /// How long the provider took to answer, in minutes.
    response_time: Option<i32>,
    created_at: Timestamp,
}

/// Who gave a review.
#[derive(Serialize, ToSchema)]
struct ReviewerView {
    /// First and last name.
    name: String,
}

impl From<ReviewRow> for ProviderReviewView {
    fn from(row: ReviewRow) -> Self {
        Self {
            id: row.id,
            job_id: row.job_id,
            service: row.service,
            customer: ReviewerView { name: row.customer_name },
            rating: row.rating,
            feedback: row.feedback,
            punctuality_rating: row.punctuality_rating,
            response_time: row.response_time_minutes,
            created_at: row.created_at.into(),
        }
    }
}

/// The calling provider's reviews, newest first.
///
/// # Errors
/// 400 a parameter breaks a rule.
#[utoipa::path(get, path = "/provider/reviews", tag = "reviews", security(("provider" = [])), params(ReviewsQuery),
    responses((status = 200, body = Page<ProviderReviewView>)))]
async fn reviews(
    State(pooler): State<Pooler>,
    who: Provider,
    Query(query): Query<ReviewsQuery>,
) -> Result<Json<Page<ProviderReviewView>>> {
    let mut rules = Fields::new();
    let page = PageRequest::read(&mut rules, query.page, query.limit);
    rules.finish()?;
    let (rows, total) = queries::list(&pooler, who.user_id, page).await?;
    Ok(Json(Page::new(rows.into_iter().map(Into::into).collect(), total, page)))
}

/// A provider's reviews in numbers.
#[derive(Serialize, ToSchema)]
struct ReviewStatsView {
    /// The mean, with two decimals; 0 without reviews.
    average: f64,
    total: i64,
    /// How many reviews gave so many stars.
    counts: PerStarCountView,
    /// How many of a hundred reviews gave so many stars, with one decimal.
    percentages: PerStarPercentageView,
}

/// How many reviews gave so many stars.
#[derive(Serialize, ToSchema)]
struct PerStarCountView {
    #[serde(rename = "1")]
    one: i64,
    #[serde(rename = "2")]
    two: i64,
    #[serde(rename = "3")]
    three: i64,
    #[serde(rename = "4")]
    four: i64,
    #[serde(rename = "5")]
    five: i64,
}

/// How many of a hundred reviews gave so many stars.
#[derive(Serialize, ToSchema)]
struct PerStarPercentageView {
    #[serde(rename = "1")]
    one: f64,
    #[serde(rename = "2")]
    two: f64,
    #[serde(rename = "3")]
    three: f64,
    #[serde(rename = "4")]
    four: f64,
    #[serde(rename = "5")]
    five: f64,
}

impl From<StarCounts> for ReviewStatsView {
    fn from(stars: StarCounts) -> Self {
        let counts = |[one, two, three, four, five]: [i64; 5]| PerStarCountView { one, two, three, four, five };
        let shares = |[one, two, three, four, five]: [f64; 5]| PerStarPercentageView { one, two, three, four, five };
        Self {
            average: stars.average(),
            total: stars.total(),
            counts: counts(stars.0),
            percentages: shares(stars.percentages()),
        }
    }
}

/// The calling provider's reviews in numbers.
#[utoipa::path(get, path = "/provider/reviews/stats", tag = "reviews", security(("provider" = [])),
    responses((status = 200, body = ReviewStatsView)))]
async fn stats(State(pooler): State<Pooler>, who: Provider) -> Result<Json<ReviewStatsView>> {
    Ok(Json(queries::count_stars(&pooler, who.user_id).await?.into()))
}

/// One of the calling provider's reviews.
///
/// # Errors
/// 404 no such review, or it is of somebody else.
#[utoipa::path(get, path = "/provider/reviews/{id}", tag = "reviews", security(("provider" = [])),
    params(("id" = ReviewId, Path)),
    responses(
        (status = 200, body = ProviderReviewView),
        (status = 404, description = "No such review, or of somebody else"),
    ))]
async fn review(
    State(pooler): State<Pooler>,
    who: Provider,
    Path(id): Path<ReviewId>,
) -> Result<Json<ProviderReviewView>> {
    let row = queries::find(&pooler, id, who.user_id).await?;
    row.map(|row| Json(row.into())).ok_or(Error::NotFound("review"))
}
