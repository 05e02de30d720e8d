//! SQL of a provider's public page.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use sqlx::types::Json;

use super::http::{AddressView, PublicProviderView, PublicReviewView, PublicServiceView, slug};
use crate::files::{FileId, FileUrls};
use crate::providers::types::{GalleryImageRow, GalleryImageView};
use crate::types::{Cents, ProviderId, Timestamp};
use doors::Pooler;

/// A review as its JSON in the query, without its author's last name.
#[derive(Debug, Deserialize)]
struct ReviewRow {
    rating: i16,
    feedback: Option<String>,
    customer: String,
    service: String,
    created_at: DateTime<Utc>,
}

/// An active provider with its services and the newest `reviews` reviews.
pub(super) async fn find(
    pooler: &Pooler,
    urls: &FileUrls,
    id: ProviderId,
    reviews: i64,
) -> sqlx::Result<Option<PublicProviderView>> {
    let row = sqlx::query!(
        r#"select id as "id!: ProviderId", business_name as "business_name!", owner_name as "owner_name!",
                  description, experience_years as "experience_years!", experience_level, location,
                  website_url, region as "region!", images as "images!",
                  logo_file_id as "logo_file_id: FileId", logo_file_name,
                  banner_file_id as "banner_file_id: FileId", banner_file_name,
                  gallery as "gallery!: Json<Vec<GalleryImageRow>>", rating as "rating!",
                  total_jobs as "total_jobs!", min_price_cents, max_price_cents,
                  created_at as "created_at!", service_areas as "service_areas!",
                  services as "services!: Json<Vec<PublicServiceView>>",
                  review_count as "review_count!", reviews as "reviews!: Json<Vec<ReviewRow>>"
           from stm.provider_page_v1($1, $2)"#,
        id.0,
        reviews,
    )
    .fetch_optional(pooler)
    .await?;
    Ok(row.map(|row| PublicProviderView {
        slug: slug(&row.business_name, row.id),
        address: AddressView::new(row.location.as_deref(), &row.region, row.service_areas.first()),
        is_available: true,
        certifications: Vec::new(),
        services: row.services.0,
        reviews: row.reviews.0.into_iter().map(Into::into).collect(),
        id: row.id,
        business_name: row.business_name,
        owner_name: row.owner_name,
        description: row.description,
        experience: row.experience_years,
        experience_level: row.experience_level,
        location: row.location,
        website_url: row.website_url,
        region: row.region,
        logo_url: urls.public(row.logo_file_id, row.logo_file_name),
        banner_url: urls.public(row.banner_file_id, row.banner_file_name),
        gallery_images: GalleryImageView::list(row.gallery.0, row.images, urls),
        rating: row.rating,
        total_jobs: row.total_jobs,
        min_price: row.min_price_cents.map(Cents),
        max_price: row.max_price_cents.map(Cents),
        service_areas: row.service_areas,
        total_reviews: row.review_count,
        member_since: Timestamp(row.created_at),
    }))
}

impl From<ReviewRow> for PublicReviewView {
    fn from(row: ReviewRow) -> Self {
        Self {
            rating: row.rating,
            feedback: row.feedback,
            customer: row.customer,
            service: row.service,
            created_at: row.created_at.into(),
        }
    }
}
