//! `/provider/reviews`: the reviews of the calling provider.

use std::ops::RangeInclusive;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use super::types::ReviewStats;
use crate::auth::Provider;
use crate::error::{Error, Result};
use crate::state::ApiState;
use crate::types::{Cents, JobId, ReviewId, Timestamp};
use crate::web::extract::{Json, Path, Query};
use crate::web::fields::Fields;
use crate::web::page::{Page, PageRequest};
use doors::Pooler;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(reviews)).routes(routes!(stats)).routes(routes!(review))
}

/// A selection of the reviews.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(rename_all = "camelCase")]
pub(crate) struct ReviewsQuery {
    /// Returns only reviews with at least so many stars.
    min_rating: Option<i16>,
    /// Returns only reviews with at most so many stars.
    max_rating: Option<i16>,
    /// The number of the page, from 1.
    page: Option<i64>,
    /// The maximum number of rows, 1 to 100; 20 by default.
    limit: Option<i64>,
}

impl ReviewsQuery {
    /// Checks the selection. Returns the stars and the page.
    ///
    /// # Errors
    /// 400 with each bad parameter named.
    pub(crate) fn check(&self) -> Result<(RangeInclusive<i16>, PageRequest)> {
        let mut rules = Fields::new();
        let is_rating = |rating: Option<i16>| rating.is_none_or(|rating| (1..=5).contains(&rating));
        rules.check("minRating", is_rating(self.min_rating), "must be 1 to 5");
        rules.check("maxRating", is_rating(self.max_rating), "must be 1 to 5");
        let page = PageRequest::read(&mut rules, self.page, self.limit);
        rules.finish()?;
        Ok((self.min_rating.unwrap_or(1)..=self.max_rating.unwrap_or(5), page))
    }
}

/// A review as the provider sees it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProviderReviewView {
    pub id: ReviewId,
    pub job: ReviewedJobView,
    pub customer: ReviewerView,
    /// 1 to 5.
    pub rating: i16,
    pub feedback: Option<String>,
    /// 1 to 5.
    pub punctuality_rating: Option<i16>,
    /// How long the provider took to answer, in minutes.
    pub response_time: Option<i32>,
    pub created_at: Timestamp,
}

/// The job that was reviewed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReviewedJobView {
    pub id: JobId,
    /// The service's name.
    pub service: String,
    pub category: String,
    pub price: Cents,
    pub completed_at: Option<Timestamp>,
}

/// The customer who wrote a review.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReviewerView {
    /// First and last name.
    pub name: String,
}

/// Lists the calling provider's reviews, newest first.
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
    let (stars, page) = query.check()?;
    let (reviews, total) = queries::list(&pooler, who.user_id, stars, page).await?;
    Ok(Json(Page::new(reviews, total, page)))
}

/// The statistics of a provider's reviews.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReviewStatsView {
    total_reviews: i64,
    /// The mean, with two decimals; 0 without reviews.
    average_rating: f64,
    /// The mean of the ratings given, with two decimals; 0 without any.
    average_punctuality: f64,
    /// In minutes: the mean of the times given, with two decimals; 0 without any.
    average_response_time: f64,
    /// The number of reviews by stars.
    rating_breakdown: PerStarCountView,
    /// The percentage of reviews by stars, with one decimal.
    percentages: PerStarPercentageView,
}

/// The number of reviews by stars.
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

/// The percentage of reviews by stars.
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

impl From<ReviewStats> for ReviewStatsView {
    fn from(ReviewStats { stars, average_punctuality, average_response_time }: ReviewStats) -> Self {
        let counts = |[one, two, three, four, five]: [i64; 5]| PerStarCountView { one, two, three, four, five };
        let shares = |[one, two, three, four, five]: [f64; 5]| PerStarPercentageView { one, two, three, four, five };
        Self {
            total_reviews: stars.total(),
            average_rating: stars.average(),
            average_punctuality,
            average_response_time,
            rating_breakdown: counts(stars.0),
            percentages: shares(stars.percentages()),
        }
    }
}

/// Returns the statistics of the calling provider's reviews.
#[utoipa::path(get, path = "/provider/reviews/stats", tag = "reviews", security(("provider" = [])),
    responses((status = 200, body = ReviewStatsView)))]
async fn stats(State(pooler): State<Pooler>, who: Provider) -> Result<Json<ReviewStatsView>> {
    Ok(Json(queries::stats(&pooler, who.user_id).await?.into()))
}

/// Returns one of the calling provider's reviews.
///
/// # Errors
/// 404 no such review, or it is about somebody else.
#[utoipa::path(get, path = "/provider/reviews/{id}", tag = "reviews", security(("provider" = [])),
    params(("id" = ReviewId, Path)),
    responses(
        (status = 200, body = ProviderReviewView),
        (status = 404, description = "No such review, or it is about somebody else"),
    ))]
async fn review(
    State(pooler): State<Pooler>,
    who: Provider,
    Path(id): Path<ReviewId>,
) -> Result<Json<ProviderReviewView>> {
    queries::find(&pooler, id, who.user_id).await?.map(Json).ok_or(Error::NotFound("review"))
}
