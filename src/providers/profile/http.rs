//! `/provider/profile`.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, ProfileRow};
use super::types::ProfileRequest;
use crate::auth::Provider;
use crate::db::Pooler;
use crate::error::{Error, Result, invalid, violates};
use crate::providers::ProviderStatus;
use crate::providers::services::OfferedServiceView;
use crate::state::ApiState;
use crate::types::{Cents, ProviderId};
use crate::web::MessageView;
use crate::web::extract::Json;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(profile, set_profile))
}

/// A provider's profile, as the provider sees it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProviderProfileView {
    user: ProviderUserView,
    business: BusinessView,
    status: ProviderStatusView,
    /// At most 200, by name.
    services: Vec<OfferedServiceView>,
    /// ZIP codes served, the primary one first.
    service_areas: Vec<String>,
    /// Documents that the provider has handed in.
    #[schema(value_type = Vec<Object>)]
    documents: serde_json::Value,
    statistics: ProviderStatisticsView,
    /// URLs of pictures.
    images: Vec<String>,
}

/// The provider's user.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProviderUserView {
    /// First and last name.
    name: String,
    first_name: String,
    last_name: String,
    email: String,
    phone: Option<String>,
    profile_picture: Option<String>,
}

/// The business.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct BusinessView {
    /// The provider's id.
    id: ProviderId,
    business_name: String,
    service_type: Option<String>,
    description: Option<String>,
    /// Years.
    experience: Option<i32>,
    experience_level: Option<String>,
    location: Option<String>,
    website_url: Option<String>,
    region: String,
    area: Option<String>,
    min_price: Option<Cents>,
    max_price: Option<Cents>,
}

/// Where the provider stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProviderStatusView {
    current: ProviderStatus,
    is_active: bool,
    /// Active, and without a new or running job?
    can_deactivate: bool,
    /// New and running jobs.
    active_jobs_count: i64,
    /// How many deadlines were missed.
    warnings: i32,
}

/// The provider's history in numbers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProviderStatisticsView {
    /// Jobs done and paid.
    total_jobs: i32,
    /// What they brought, in dollars.
    total_earnings: Cents,
    /// Mean of all reviews, 0 without any.
    average_rating: f64,
    total_reviews: i64,
}

impl From<ProfileRow> for ProviderProfileView {
    fn from(row: ProfileRow) -> Self {
        let is_active = row.status == ProviderStatus::Active;
        let services = row.service_ids.into_iter().zip(row.service_names).zip(row.service_categories);
        Self {
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
                min_price: row.min_price_cents.map(Cents),
                max_price: row.max_price_cents.map(Cents),
            },
            status: ProviderStatusView {
                current: row.status,
                is_active,
                can_deactivate: is_active && row.active_jobs == 0,
                active_jobs_count: row.active_jobs,
                warnings: row.warnings,
            },
            services: services.map(|((id, name), category)| OfferedServiceView { id, name, category }).collect(),
            service_areas: row.zip_codes,
            documents: row.documents,
            statistics: ProviderStatisticsView {
                total_jobs: row.total_jobs,
                total_earnings: Cents(row.earnings_cents),
                average_rating: row.rating,
                total_reviews: row.reviews,
            },
            images: row.images,
        }
    }
}

/// The calling provider's profile.
///
/// # Errors
/// 404 the account is banned or gone.
#[utoipa::path(get, path = "/provider/profile", tag = "providers", security(("provider" = [])),
    responses((status = 200, body = ProviderProfileView)))]
async fn profile(State(pooler): State<Pooler>, who: Provider) -> Result<Json<ProviderProfileView>> {
    let row = queries::find(&pooler, who.user_id).await?;
    row.map(|row| Json(row.into())).ok_or(Error::NotFound("provider"))
}

/// Changes the calling provider's profile.
///
/// # Errors
/// 400 a field breaks a rule. 404 the account is banned or gone.
#[utoipa::path(put, path = "/provider/profile", tag = "providers", security(("provider" = [])),
    request_body = ProfileRequest,
    responses((status = 200, body = MessageView)))]
async fn set_profile(
    State(pooler): State<Pooler>,
    who: Provider,
    Json(request): Json<ProfileRequest>,
) -> Result<Json<MessageView>> {
    let (change, price_field) = request.check()?;
    let mut tx = pooler.write().await?;
    let changed = match queries::set(&mut tx, who.user_id, &change).await {
        // One of the prices was sent, and the other one is stored.
        Err(error) if violates(&error, "providers_price_range") => {
            return Err(invalid(price_field, "does not fit the other price: the lowest must not be above the highest"));
        }
        changed => changed?,
    };
    let provider = changed.ok_or(Error::NotFound("provider"))?;
    if let Some(zip_codes) = &change.zip_codes {
        queries::delete_zip_codes(&mut tx, provider).await?;
        queries::insert_zip_codes(&mut tx, provider, zip_codes).await?;
    }
    tx.commit().await?;
    Ok(Json(MessageView::new("Profile updated successfully")))
}
