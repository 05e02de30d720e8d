//! SQL of a provider's profile.

use sqlx::types::Json;

use super::http::{
    BusinessView, DocumentView, DocumentsView, ImagesView, ProviderProfileView, ProviderStatisticsView,
    ProviderStatusView, ProviderUserView, ServiceAreaView,
};
use crate::files::{FileId, FileUrls};
use crate::providers::ProviderStatus;
use crate::providers::services::OfferedServiceView;
use crate::providers::types::{GalleryImageRow, GalleryImageView};
use crate::types::{Cents, ProviderId, ServiceId, Timestamp, UserId};
use doors::{Pooler, Tx};

/// The profile of a user who is a provider and not banned. At most 200 services and as many ZIP codes.
pub(super) async fn find(
    pooler: &Pooler,
    urls: &FileUrls,
    user_id: UserId,
) -> sqlx::Result<Option<ProviderProfileView>> {
    let row = sqlx::query!(
        r#"select p.id as "id: ProviderId", u.first_name, u.last_name, u.email, u.phone_number, u.profile_picture,
                  p.business_name, p.service_type, p.description, p.experience_years, p.experience_level, p.location,
                  p.website_url, p.region, p.area, p.min_price_cents, p.max_price_cents,
                  p.status as "status: ProviderStatus", p.warnings,
                  p.last_availability_confirmed_at, p.rejection_reason,
                  (select count(*) from stm.jobs j where j.provider_id = p.id and j.status in ('new', 'in_progress'))
                      as "active_jobs!",
                  offered.ids as "service_ids!: Vec<ServiceId>", offered.names as "service_names!",
                  offered.categories as "service_categories!",
                  array(select z.zip_code from stm.provider_zip_codes z where z.provider_id = p.id
                        order by z.position limit 200) as "zip_codes!",
                  stm.documents_of(p.id) as "documents!: Json<Vec<DocumentView>>", p.images,
                  p.logo_file_id as "logo_file_id: FileId", p.logo_file_name, p.banner_file_id as "banner_file_id: FileId",
                  p.banner_file_name,
                  (select coalesce(jsonb_agg(jsonb_build_object('id', g.id, 'file_id', g.file_id, 'file_name', g.file_name,
                                                                'caption', g.caption) order by g.position, g.id), '[]')
                   from stm.gallery_images g where g.provider_id = p.id) as "gallery!: Json<Vec<GalleryImageRow>>",
                  p.total_jobs, p.earnings_cents, p.rating::float8 as "rating!",
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
    .await?;
    Ok(row.map(|row| {
        let services = row.service_ids.into_iter().zip(row.service_names).zip(row.service_categories);
        ProviderProfileView {
            user: ProviderUserView {
                name: format!("{} {}", row.first_name, row.last_name),
                first_name: row.first_name,
                last_name: row.last_name,
                email: row.email,
                phone: row.phone_number,
                profile_picture: row.profile_picture,
            },
            business: BusinessView {
                id: row.id,
                business_name: row.business_name,
                service_type: row.service_type,
                description: row.description,
                experience: row.experience_years,
                experience_level: row.experience_level,
                location: row.location,
                website_url: row.website_url,
                region: row.region,
                area: row.area,
                zipcode: row.zip_codes.first().cloned(),
                min_price: row.min_price_cents.map(Cents),
                max_price: row.max_price_cents.map(Cents),
            },
            status: ProviderStatusView::new(
                row.status,
                row.active_jobs,
                row.warnings,
                row.last_availability_confirmed_at.map(Timestamp),
                row.rejection_reason,
            ),
            services: services.map(|((id, name), category)| OfferedServiceView { id, name, category }).collect(),
            service_areas: (0..)
                .zip(row.zip_codes)
                .map(|(place, zipcode)| ServiceAreaView { zipcode, is_primary: place == 0 })
                .collect(),
            documents: DocumentsView::new(row.documents.0),
            statistics: ProviderStatisticsView {
                total_jobs: row.total_jobs,
                earnings: Cents(row.earnings_cents),
                rating: row.rating,
                total_reviews: row.reviews,
            },
            images: ImagesView {
                logo_url: urls.public(row.logo_file_id, row.logo_file_name),
                banner_url: urls.public(row.banner_file_id, row.banner_file_name),
                gallery_images: GalleryImageView::list(row.gallery.0, row.images, urls),
            },
        }
    }))
}

/// A change of a profile. `None` leaves a field as it is. An empty text removes an optional one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ProfileChange {
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    /// E.164.
    pub phone_number: Option<String>,
    pub business_name: Option<String>,
    pub service_type: Option<String>,
    pub description: Option<String>,
    pub location: Option<String>,
    pub website_url: Option<String>,
    pub experience_level: Option<String>,
    pub experience_years: Option<i32>,
    pub min_price_cents: Option<i64>,
    pub max_price_cents: Option<i64>,
    /// URLs that replace all earlier ones.
    pub images: Option<Vec<String>>,
    /// ZIP codes that replace all earlier ones, the primary one first.
    pub zip_codes: Option<Vec<String>>,
}

/// Changes a profile except its ZIP codes, and locks the provider's row until the transaction ends. A lowest price
/// above the highest violates `providers_price_range`. Returns `None` if the user is not a provider, or is banned.
pub(super) async fn set(
    tx: &mut Tx<Pooler>,
    user_id: UserId,
    change: &ProfileChange,
) -> sqlx::Result<Option<ProviderId>> {
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
pub(super) async fn delete_zip_codes(tx: &mut Tx<Pooler>, provider: ProviderId) -> sqlx::Result<()> {
    sqlx::query!("delete from stm.provider_zip_codes where provider_id = $1", provider.0).execute(tx).await.map(drop)
}

/// Inserts the ZIP codes of a provider that has none, the primary one first.
pub(super) async fn insert_zip_codes(
    tx: &mut Tx<Pooler>,
    provider: ProviderId,
    zip_codes: &[String],
) -> sqlx::Result<()> {
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
