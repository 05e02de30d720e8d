//! What the public may see of one provider.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::db::Pooler;
use crate::types::{ProviderId, ServiceId};

/// An active provider.
#[derive(Debug)]
pub struct PublicRow {
    /// The provider.
    pub id: ProviderId,
    /// Name of the business.
    pub business_name: String,
    /// The owner's first and last name.
    pub owner_name: String,
    /// About the business.
    pub description: Option<String>,
    /// Years of experience.
    pub experience_years: Option<i32>,
    /// In the provider's words.
    pub experience_level: Option<String>,
    /// Where the business is.
    pub location: Option<String>,
    /// Its own site.
    pub website_url: Option<String>,
    /// The region it works in.
    pub region: String,
    /// URLs of pictures.
    pub images: Vec<String>,
    /// Mean of all reviews, 0 without any.
    pub rating: f64,
    /// Jobs done and paid.
    pub total_jobs: i32,
    /// Lowest price, in cents.
    pub min_price_cents: Option<i64>,
    /// Highest price, in cents.
    pub max_price_cents: Option<i64>,
    /// ZIP codes served, the primary one first.
    pub service_areas: Vec<String>,
    /// What it offers.
    pub services: Vec<OfferedRow>,
    /// How many reviews there are.
    pub review_count: i64,
    /// The newest ones.
    pub reviews: Vec<PublicReviewRow>,
    /// When it registered.
    pub created_at: DateTime<Utc>,
}

/// A service that a provider offers.
#[derive(Debug, Deserialize)]
pub struct OfferedRow {
    /// The service.
    pub id: ServiceId,
    /// Name.
    pub name: String,
    /// Category.
    pub category: String,
}

/// A review, without its author's last name.
#[derive(Debug, Deserialize)]
pub struct PublicReviewRow {
    /// 1 to 5.
    pub rating: i16,
    /// In the customer's words.
    pub feedback: Option<String>,
    /// The customer's first name.
    pub customer: String,
    /// The service's name.
    pub service: String,
    /// The appointment.
    pub created_at: DateTime<Utc>,
}

/// An active provider, with what it offers and the newest `reviews` reviews. `None`: there is none with this id.
///
/// # Errors
/// Those of the database.
pub async fn find(pooler: &Pooler, id: ProviderId, reviews: i64) -> sqlx::Result<Option<PublicRow>> {
    let row = sqlx::query!(
        r#"select p.id as "id: ProviderId", p.business_name, u.first_name || ' ' || u.last_name as "owner_name!", p.description,
                  p.experience_years, p.experience_level, p.location, p.website_url, p.region, p.images,
                  p.rating::float8 as "rating!", p.total_jobs, p.min_price_cents, p.max_price_cents, p.created_at,
                  array(select z.zip_code from stm.provider_zip_codes z where z.provider_id = p.id order by z.position)
                      as "service_areas!",
                  (select coalesce(jsonb_agg(jsonb_build_object('id', s.id, 'name', s.name, 'category', s.category) order by s.name, s.id), '[]')
                   from stm.provider_services o join stm.services s on s.id = o.service_id and s.status = 'approved'
                   where o.provider_id = p.id) as "services!: sqlx::types::Json<Vec<OfferedRow>>",
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
                         limit $2) n) as "reviews!: sqlx::types::Json<Vec<PublicReviewRow>>"
           from stm.providers p
           join stm.users u on u.id = p.user_id
           where p.id = $1 and p.status = 'active'"#,
        id.0,
        reviews,
    )
    .fetch_optional(pooler)
    .await?;
    Ok(row.map(|row| PublicRow {
        id: row.id,
        business_name: row.business_name,
        owner_name: row.owner_name,
        description: row.description,
        experience_years: row.experience_years,
        experience_level: row.experience_level,
        location: row.location,
        website_url: row.website_url,
        region: row.region,
        images: row.images,
        rating: row.rating,
        total_jobs: row.total_jobs,
        min_price_cents: row.min_price_cents,
        max_price_cents: row.max_price_cents,
        service_areas: row.service_areas,
        services: row.services.0,
        review_count: row.review_count,
        reviews: row.reviews.0,
        created_at: row.created_at,
    }))
}
