//! `/lsm/providers/{id}/reviews`.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use crate::auth::Lsm;
use crate::error::{Error, Result};
use crate::reviews::{self, ProviderReviewView, ReviewStatsView, ReviewsQuery};
use crate::state::ApiState;
use crate::types::ProviderId;
use crate::web::extract::{Json, Path, Query};
use crate::web::page::Page;
use doors::Pooler;

pub(in crate::lsm) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(reviews_of)).routes(routes!(stats_of))
}

/// Lists the reviews of one of the calling LSM's providers, newest first.
///
/// # Errors
/// 400 a parameter breaks a rule. 404 no such provider, or another LSM's.
#[utoipa::path(get, path = "/lsm/providers/{id}/reviews", tag = "lsm", security(("local_service_manager" = [])),
    params(("id" = ProviderId, Path), ReviewsQuery),
    responses(
        (status = 200, body = Page<ProviderReviewView>),
        (status = 404, description = "No such provider, or another LSM's"),
    ))]
async fn reviews_of(
    State(pooler): State<Pooler>,
    who: Lsm,
    Path(id): Path<ProviderId>,
    Query(query): Query<ReviewsQuery>,
) -> Result<Json<Page<ProviderReviewView>>> {
    let (stars, page) = query.check()?;
    let provider = queries::find(&pooler, id, who.user_id).await?.ok_or(Error::NotFound("provider"))?;
    let (reviews, total) = reviews::list(&pooler, provider.user_id, stars, page).await?;
    Ok(Json(Page::new(reviews, total, page)))
}

/// The statistics of a provider's reviews.
#[derive(Serialize, ToSchema)]
struct LsmReviewStatsView {
    provider: ReviewedProviderView,
    #[serde(flatten)]
    stats: ReviewStatsView,
}

/// The provider who is reviewed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReviewedProviderView {
    id: ProviderId,
    business_name: String,
    /// Jobs done and paid.
    total_jobs: i32,
}

/// Returns the statistics of the reviews of one of the calling LSM's providers.
///
/// # Errors
/// 404 no such provider, or another LSM's.
#[utoipa::path(get, path = "/lsm/providers/{id}/reviews/stats", tag = "lsm", security(("local_service_manager" = [])),
    params(("id" = ProviderId, Path)),
    responses(
        (status = 200, body = LsmReviewStatsView),
        (status = 404, description = "No such provider, or another LSM's"),
    ))]
async fn stats_of(
    State(pooler): State<Pooler>,
    who: Lsm,
    Path(id): Path<ProviderId>,
) -> Result<Json<LsmReviewStatsView>> {
    let provider = queries::find(&pooler, id, who.user_id).await?.ok_or(Error::NotFound("provider"))?;
    let stats = reviews::stats(&pooler, provider.user_id).await?.into();
    let provider = ReviewedProviderView { id, business_name: provider.business_name, total_jobs: provider.total_jobs };
    Ok(Json(LsmReviewStatsView { provider, stats }))
}
