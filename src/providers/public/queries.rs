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
        r#"select p.id as "id: ProviderId", p.business_name, u.first_name || ' ' || u.last_name as "owner_name!", p.description,
                  coalesce(p.experience_years, 0) as "experience_years!", p.experience_level,
                  p.location, p.website_url, p.region, p.images,
                  p.logo_file_id as "logo_file_id: FileId", p.logo_file_name, p.banner_file_id as "banner_file_id: FileId",
                  p.banner_file_name,
                  (select coalesce(jsonb_agg(jsonb_build_object('id', g.id, 'file_id', g.file_id, 'file_name', g.file_name,
                                                                'caption', g.caption) order by g.position, g.id), '[]')
                   from stm.gallery_images g where g.provider_id = p.id) as "gallery!: Json<Vec<GalleryImageRow>>",
                  p.rating::float8 as "rating!", p.total_jobs, p.min_price_cents, p.max_price_cents, p.created_at,
                  array(select z.zip_code from stm.provider_zip_codes z where z.provider_id = p.id order by z.position)
                      as "service_areas!",
                  (select coalesce(jsonb_agg(jsonb_build_object('id', s.id, 'name', s.name, 'category', s.category, 'isActive', true)
                                             order by s.name, s.id), '[]')
                   from stm.provider_services o join stm.services s on s.id = o.service_id and s.status = 'approved'
                   where o.provider_id = p.id) as "services!: Json<Vec<PublicServiceView>>",
                  (select count(*) from stm.reviews r where r.provider_id = p.id) as "review_count!",
                  (select coalesce(jsonb_agg(jsonb_build_object('rating', n.rating, 'feedback', n.feedback, 'customer', n.first_name,
                                                                'service', n.name, 'created_at', n.created_at) order by n.id desc), '[]')
                   from (select r.id, r.rating, r.feedback, cu.first_name, s.name, r.created_at
                         from stm.reviews r
                         join stm.customers c on c.id = r.customer_id
                         join stm.users cu on cu.id = c.user_id
                         join stm.jobs j on j.id = r.job_id
                         join stm.services s on s.id = j.service_id
                         where r.provider_id = p.id
                         order by r.id desc
                         limit $2) n) as "reviews!: Json<Vec<ReviewRow>>"
           from stm.providers p
           join stm.users u on u.id = p.user_id
           where p.id = $1 and p.status = 'active'"#,
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
