//! `/providers/{slug}`.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use crate::error::{Error, Result};
use crate::state::ApiState;
use crate::types::{Cents, ProviderId, ServiceId, Timestamp};
use crate::web::extract::{Json, Path};
use doors::Pooler;

/// The number of reviews on a provider's page.
const MAX_REVIEWS: i64 = 5;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(show))
}

/// A provider's page.
#[derive(Serialize, ToSchema)]
struct PublicProviderPageView {
    success: bool,
    data: PublicProviderView,
}

/// A provider, as everybody sees it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PublicProviderView {
    pub id: ProviderId,
    /// The business's name and the id: what its page is called.
    pub slug: String,
    pub business_name: String,
    pub owner_name: String,
    pub description: Option<String>,
    /// Years.
    pub experience: Option<i32>,
    pub experience_level: Option<String>,
    pub location: Option<String>,
    pub website_url: Option<String>,
    pub region: String,
    /// URLs of pictures.
    pub images: Vec<String>,
    /// 1 to 5; 0 without a review.
    pub rating: f64,
    pub total_jobs: i32,
    pub min_price: Option<Cents>,
    pub max_price: Option<Cents>,
    /// ZIP codes, the primary one first.
    pub service_areas: Vec<String>,
    pub services: Vec<PublicServiceView>,
    pub total_reviews: i64,
    /// The newest 5.
    pub reviews: Vec<PublicReviewView>,
    pub member_since: Timestamp,
}

/// A service that the provider offers.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct PublicServiceView {
    pub id: ServiceId,
    pub name: String,
    pub category: String,
}

/// A review, as everybody sees it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PublicReviewView {
    /// 1 to 5.
    pub rating: i16,
    pub feedback: Option<String>,
    /// The customer's first name.
    pub customer: String,
    /// The service's name.
    pub service: String,
    pub created_at: Timestamp,
}

/// Returns an active provider's page.
///
/// # Errors
/// 404 there is no such provider, or it takes no bookings.
#[utoipa::path(get, path = "/providers/{slug}", tag = "catalog",
    params(("slug" = String, Path, description = "business-name-{id}; only the id counts")),
    responses(
        (status = 200, body = PublicProviderPageView),
        (status = 404, description = "No such provider, or it takes no bookings"),
    ))]
async fn show(State(pooler): State<Pooler>, Path(slug): Path<String>) -> Result<Json<PublicProviderPageView>> {
    let id = slug.rsplit('-').next().and_then(|id| id.parse().ok()).map(ProviderId);
    let found = match id {
        Some(id) => queries::find(&pooler, id, MAX_REVIEWS).await?,
        None => None,
    };
    let data = found.ok_or(Error::NotFound("provider"))?;
    Ok(Json(PublicProviderPageView { success: true, data }))
}

/// `Pete's Pipes`, 7: `pete-s-pipes-7`.
pub(super) fn slug(business_name: &str, id: ProviderId) -> String {
    let words: Vec<_> =
        business_name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    format!("{}-{}", words.join("-").to_ascii_lowercase(), id.0).trim_start_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_ends_with_the_id() {
        assert_eq!(slug("Pete's Pipes", ProviderId(7)), "pete-s-pipes-7");
        assert_eq!(slug("配管", ProviderId(7)), "7");
    }
}
