//! `/providers/{slug}`.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use crate::error::{Error, Result};
use crate::files::FileUrls;
use crate::providers::types::GalleryImageView;
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
    /// Years; 0 if unknown.
    pub experience: i32,
    pub experience_level: Option<String>,
    pub location: Option<String>,
    pub address: AddressView,
    pub website_url: Option<String>,
    pub region: String,
    /// Whether it takes bookings: always true.
    pub is_available: bool,
    pub logo_url: Option<String>,
    pub banner_url: Option<String>,
    pub gallery_images: Vec<GalleryImageView>,
    /// 1 to 5; 0 without a review.
    pub rating: f64,
    pub total_jobs: i32,
    pub min_price: Option<Cents>,
    pub max_price: Option<Cents>,
    /// ZIP codes, the primary one first.
    pub service_areas: Vec<String>,
    pub services: Vec<PublicServiceView>,
    /// Always empty: there is no register of them yet.
    pub certifications: Vec<String>,
    pub total_reviews: i64,
    /// The newest 5.
    pub reviews: Vec<PublicReviewView>,
    pub member_since: Timestamp,
}

/// The place of a business.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AddressView {
    city: String,
    state: String,
    /// The primary ZIP code.
    zip_code: Option<String>,
}

impl AddressView {
    /// Reads `City, ST` or `Street, City, ST 12345`. The region stands for what a location leaves out.
    pub(super) fn new(location: Option<&str>, region: &str, zip_code: Option<&String>) -> Self {
        let parts: Vec<_> = location.into_iter().flat_map(|text| text.split(',')).map(str::trim).collect();
        let (city, state) = match parts.as_slice() {
            [] => (region, region),
            [city] => (*city, region),
            [.., city, state] => (*city, state.split_whitespace().next().unwrap_or(region)),
        };
        Self { city: city.to_owned(), state: state.to_owned(), zip_code: zip_code.cloned() }
    }
}

/// A service that the provider offers.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PublicServiceView {
    pub id: ServiceId,
    pub name: String,
    pub category: String,
    /// Whether it can be booked: always true.
    pub is_active: bool,
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
async fn show(
    State(pooler): State<Pooler>,
    State(urls): State<FileUrls>,
    Path(slug): Path<String>,
) -> Result<Json<PublicProviderPageView>> {
    let id = slug.rsplit('-').next().and_then(|id| id.parse().ok()).map(ProviderId);
    let found = match id {
        Some(id) => queries::find(&pooler, &urls, id, MAX_REVIEWS).await?,
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
    fn an_address_is_read_from_a_location() {
        for (location, city, state) in [
            (None, "NY", "NY"),
            (Some("Brooklyn"), "Brooklyn", "NY"),
            (Some("Newark, NJ"), "Newark", "NJ"),
            (Some("1 Main Street, New York, NY 10001"), "New York", "NY"),
            (Some("Brooklyn,"), "Brooklyn", "NY"),
        ] {
            let address = AddressView::new(location, "NY", None);
            assert_eq!((&*address.city, &*address.state), (city, state), "{location:?}");
        }
    }

    #[test]
    fn a_slug_ends_with_the_id() {
        assert_eq!(slug("Pete's Pipes", ProviderId(7)), "pete-s-pipes-7");
        assert_eq!(slug("配管", ProviderId(7)), "7");
    }
}
