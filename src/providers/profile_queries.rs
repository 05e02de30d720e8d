//! A provider's profile.

use super::ProviderStatus;
use crate::db::{Pooler, Tx};
use crate::types::{ProviderId, ServiceId, UserId};

/// A provider's profile.
#[derive(Debug)]
pub struct ProfileRow {
    /// The provider.
    pub id: ProviderId,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// E-mail address.
    pub email: String,
    /// E.164; none if the user came from Supabase Auth.
    pub phone_number: Option<String>,
    /// The URL of a picture.
    pub profile_picture: Option<String>,
    /// Name of the business.
    pub business_name: String,
    /// Trade, in the provider's words.
    pub service_type: Option<String>,
    /// About the business.
    pub description: Option<String>,
    /// Years of experience.
    pub experience_years: Option<i32>,
    /// Level of experience, in the provider's words.
    pub experience_level: Option<String>,
    /// Where the business is.
    pub location: Option<String>,
    /// Website.
    pub website_url: Option<String>,
    /// Region, which decided the LSM.
    pub region: String,
    /// Area within the region.
    pub area: Option<String>,
    /// Lowest price, in cents.
    pub min_price_cents: Option<i64>,
    /// Highest price, in cents.
    pub max_price_cents: Option<i64>,
    /// State.
    pub status: ProviderStatus,
    /// How many deadlines were missed.
    pub warnings: i32,
    /// New and running jobs.
    pub active_jobs: i64,
    /// Offered services, by name; names and categories are in the same order.
    pub service_ids: Vec<ServiceId>,
    /// Their names.
    pub service_names: Vec<String>,
    /// Their categories.
    pub service_categories: Vec<String>,
    /// ZIP codes served, the primary one first.
    pub zip_codes: Vec<String>,
    /// Documents: a JSON list.
    pub documents: serde_json::Value,
    /// URLs of pictures.
    pub images: Vec<String>,
    /// Jobs done and paid.
    pub total_jobs: i32,
    /// What they brought, in cents.
    pub earnings_cents: i64,
    /// Mean of all reviews, 0 without any.
    pub rating: f64,
    /// How many reviews there are.
    pub reviews: i64,
}

/// The profile of a user who is a provider and not banned. At most 200 services and as many ZIP codes.
///
/// # Errors
/// Those of the database.
pub async fn find(pooler: &Pooler, user_id: UserId) -> sqlx::Result<Option<ProfileRow>> {
    sqlx::query_as!(
        ProfileRow,
        r#"select p.id as "id: ProviderId", u.first_name, u.last_name, u.email, u.phone_number, u.profile_picture,
                  p.business_name, p.service_type, p.description, p.experience_years, p.experience_level, p.location,
                  p.website_url, p.region, p.area, p.min_price_cents, p.max_price_cents,
                  p.status as "status: ProviderStatus", p.warnings,
                  (select count(*) from stm.jobs j where j.provider_id = p.id and j.status in ('new', 'in_progress'))
                      as "active_jobs!",
                  offered.ids as "service_ids!: Vec<ServiceId>", offered.names as "service_names!",
                  offered.categories as "service_categories!",
                  array(select z.zip_code from stm.provider_zip_codes z where z.provider_id = p.id
                        order by z.position limit 200) as "zip_codes!",
                  p.documents, p.images, p.total_jobs, p.earnings_cents, p.rating::float8 as "rating!",
                  (select count(*) from stm.reviews r where r.provider_id = p.id) as "reviews!"
           from stm.users u
           join stm.providers p on p.user_id = u.id
           cross join lateral (
               select coalesce(array_agg(s.id order by s.name, s.id), '{}') as ids,
                      coalesce(array_agg(s.name order by s.name, s.id), '{}') as names,
                      coalesce(array_agg(s.category order by s.name, s.id), '{}') as categories
               from (select s.id, s.name, s.category
                     from stm.provider_services o
                     join stm.services s on s.id = o.service_id
                     where o.provider_id = p.id and s.status = 'approved'
                     order by s.name, s.id
                     limit 200) s
           ) offered
           where u.id = $1 and u.banned_at is null"#,
        user_id.0,
    )
    .fetch_optional(pooler)
    .await
}

/// What to change in a profile: `None` stays as it is; of what may be missing, an empty text is taken away.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ProfileChange {
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// E.164.
    pub phone_number: Option<String>,
    /// Name of the business.
    pub business_name: Option<String>,
    /// Trade, in the provider's words. May be missing.
    pub service_type: Option<String>,
    /// About the business. May be missing.
    pub description: Option<String>,
    /// Where the business is. May be missing.
    pub location: Option<String>,
    /// Website. May be missing.
    pub website_url: Option<String>,
    /// Level of experience, in the provider's words. May be missing.
    pub experience_level: Option<String>,
    /// Years of experience.
    pub experience_years: Option<i32>,
    /// Lowest price, in cents.
    pub min_price_cents: Option<i64>,
    /// Highest price, in cents.
    pub max_price_cents: Option<i64>,
    /// URLs of pictures, in place of all there were.
    pub images: Option<Vec<String>>,
    /// ZIP codes served, the primary one first, in place of all there were.
    pub zip_codes: Option<Vec<String>>,
}

/// Changes a profile, but for its ZIP codes, and locks the provider's row until the transaction ends. A lowest
/// price above the highest violates `providers_price_range`. `None`: this user is not a provider, or banned.
///
/// # Errors
/// Those of the database.
pub async fn set(tx: &mut Tx<Pooler>, user_id: UserId, change: &ProfileChange) -> sqlx::Result<Option<ProviderId>> {
    sqlx::query_scalar!(
        r#"with person as (
               update stm.users
               set first_name = coalesce($2, first_name), last_name = coalesce($3, last_name),
                   phone_number = coalesce($4, phone_number), updated_at = now()
               where id = $1 and banned_at is null
               returning id)
           update stm.providers p
           set business_name = coalesce($5, p.business_name),
               service_type = nullif(coalesce($6, p.service_type), ''),
               description = nullif(coalesce($7, p.description), ''),
               location = nullif(coalesce($8, p.location), ''),
               website_url = nullif(coalesce($9, p.website_url), ''),
               experience_level = nullif(coalesce($10, p.experience_level), ''),
               experience_years = coalesce($11, p.experience_years),
               min_price_cents = coalesce($12, p.min_price_cents),
               max_price_cents = coalesce($13, p.max_price_cents),
               images = coalesce($14, p.images),
               updated_at = now()
           from person
           where p.user_id = person.id
           returning p.id as "id: ProviderId""#,
        user_id.0,
        change.first_name,
        change.last_name,
        change.phone_number,
        change.business_name,
        change.service_type,
        change.description,
        change.location,
        change.website_url,
        change.experience_level,
        change.experience_years,
        change.min_price_cents,
        change.max_price_cents,
        change.images.as_deref(),
    )
    .fetch_optional(tx)
    .await
}

/// Deletes all ZIP codes of a provider whose row is locked.
///
/// # Errors
/// Those of the database.
pub async fn delete_zip_codes(tx: &mut Tx<Pooler>, provider: ProviderId) -> sqlx::Result<()> {
    sqlx::query!("delete from stm.provider_zip_codes where provider_id = $1", provider.0).execute(tx).await.map(drop)
}

/// Inserts the ZIP codes of a provider that has none, the primary one first.
///
/// # Errors
/// Those of the database.
pub async fn insert_zip_codes(tx: &mut Tx<Pooler>, provider: ProviderId, zip_codes: &[String]) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into stm.provider_zip_codes (provider_id, zip_code, position)
         select $1, zip.code, zip.position
         from unnest($2::text[]) with ordinality as zip (code, position)",
        provider.0,
        zip_codes,
    )
    .execute(tx)
    .await
    .map(drop)
}
