//! `/providers/{slug}`: a provider, for everybody. Neither e-mail nor phone is shown.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, PublicRow};
use crate::db::Pooler;
use crate::error::{Error, Result};
use crate::state::ApiState;
use crate::types::{Cents, ProviderId, ServiceId, Timestamp};
use crate::web::extract::{Json, Path};

/// The most reviews on a provider's page.
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
struct PublicProviderView {
    id: ProviderId,
    /// The business's name and the id: what its page is called.
    slug: String,
    business_name: String,
    owner_name: String,
    description: Option<String>,
    /// Years.
    experience: Option<i32>,
    experience_level: Option<String>,
    location: Option<String>,
    website_url: Option<String>,
    region: String,
    /// URLs of pictures.
    images: Vec<String>,
    /// 1 to 5; 0 without a review.
    rating: f64,
    total_jobs: i32,
    min_price: Option<Cents>,
    max_price: Option<Cents>,
    /// ZIP codes, the primary one first.
    service_areas: Vec<String>,
    services: Vec<PublicServiceView>,
    total_reviews: i64,
    /// The newest 5.
    reviews: Vec<PublicReviewView>,
    member_since: Timestamp,
}

/// A service that the provider offers.
#[derive(Serialize, ToSchema)]
struct PublicServiceView {
    id: ServiceId,
    name: String,
    category: String,
}

/// A review, as everybody sees it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PublicReviewView {
    /// 1 to 5.
    rating: i16,
    feedback: Option<String>,
    /// The customer's first name.
    customer: String,
    /// The service's name.
    service: String,
    created_at: Timestamp,
}

/// An active provider's page.
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
    let row = match id {
        Some(id) => queries::find(&pooler, id, MAX_REVIEWS).await?,
        None => None,
    };
    let data = row.ok_or(Error::NotFound("provider"))?.into();
    Ok(Json(PublicProviderPageView { success: true, data }))
}

/// `Pete's Pipes`, 7: `pete-s-pipes-7`.
fn slug(business_name: &str, id: ProviderId) -> String {
    let words: Vec<_> =
        business_name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    format!("{}-{}", words.join("-").to_ascii_lowercase(), id.0).trim_start_matches('-').to_owned()
}

impl From<PublicRow> for PublicProviderView {
    fn from(row: PublicRow) -> Self {
        let services = row.services.into_iter().map(|service| PublicServiceView {
            id: service.id,
            name: service.name,
            category: service.category,
        });
        let reviews = row.reviews.into_iter().map(|review| PublicReviewView {
            rating: review.rating,
            feedback: review.feedback,
            customer: review.customer,
            service: review.service,
            created_at: Timestamp(review.created_at),
        });
        Self {
            slug: slug(&row.business_name, row.id),
            services: services.collect(),
            reviews: reviews.collect(),
            id: row.id,
            business_name: row.business_name,
            owner_name: row.owner_name,
            description: row.description,
            experience: row.experience_years,
            experience_level: row.experience_level,
            location: row.location,
            website_url: row.website_url,
            region: row.region,
            images: row.images,
            rating: row.rating,
            total_jobs: row.total_jobs,
            min_price: row.min_price_cents.map(Cents),
            max_price: row.max_price_cents.map(Cents),
            service_areas: row.service_areas,
            total_reviews: row.review_count,
            member_since: Timestamp(row.created_at),
        }
    }
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
