//! `/provider/profile`.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use super::types::ProfileRequest;
use crate::auth::Provider;
use crate::error::{Error, Result, invalid, violates};
use crate::files::FileUrls;
use crate::providers::ProviderStatus;
use crate::providers::documents::DocumentStatus;
use crate::providers::services::OfferedServiceView;
use crate::providers::types::GalleryImageView;
use crate::state::ApiState;
use crate::types::{Cents, ProviderId, Timestamp};
use crate::web::MessageView;
use crate::web::extract::Json;
use doors::Pooler;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(profile, set_profile))
}

/// A provider's profile, as the provider sees it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderProfileView {
    pub user: ProviderUserView,
    pub business: BusinessView,
    pub status: ProviderStatusView,
    /// At most 200, by name.
    pub services: Vec<OfferedServiceView>,
    /// The primary one first.
    pub service_areas: Vec<ServiceAreaView>,
    /// Documents that the provider has handed in.
    pub documents: DocumentsView,
    pub statistics: ProviderStatisticsView,
    pub images: ImagesView,
}

/// A ZIP code that the provider serves.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceAreaView {
    pub zipcode: String,
    pub is_primary: bool,
}

/// Documents that the provider has handed in, and how many there are by status.
#[derive(Serialize, ToSchema)]
pub(crate) struct DocumentsView {
    total: usize,
    verified: usize,
    pending: usize,
    rejected: usize,
    list: Vec<DocumentView>,
}

impl DocumentsView {
    pub(crate) fn new(list: Vec<DocumentView>) -> Self {
        let count = |status| list.iter().filter(|document| document.status == status).count();
        Self {
            total: list.len(),
            verified: count(DocumentStatus::Verified),
            pending: count(DocumentStatus::Pending),
            rejected: count(DocumentStatus::Rejected),
            list,
        }
    }
}

/// A document that the provider has handed in.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DocumentView {
    id: i64,
    file_name: String,
    description: String,
    status: DocumentStatus,
    /// Why it was rejected.
    reason: Option<String>,
    /// ISO-8601.
    #[schema(format = DateTime)]
    verified_at: Option<String>,
    /// ISO-8601.
    #[schema(format = DateTime)]
    uploaded_at: String,
}

impl DocumentView {
    /// Whether there are documents, and all are verified.
    pub(crate) fn are_verified(documents: &[Self]) -> bool {
        !documents.is_empty() && documents.iter().all(|document| document.status == DocumentStatus::Verified)
    }
}

/// Pictures of the business.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImagesView {
    pub logo_url: Option<String>,
    pub banner_url: Option<String>,
    pub gallery_images: Vec<GalleryImageView>,
}

/// The provider's user.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderUserView {
    /// First and last name.
    pub name: String,
    pub first_name: String,
    pub last_name: String,
    pub email: String,
    pub phone: Option<String>,
    pub profile_picture: Option<String>,
}

/// The business.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct BusinessView {
    /// The provider's id.
    pub id: ProviderId,
    pub business_name: String,
    pub service_type: Option<String>,
    pub description: Option<String>,
    /// Years.
    pub experience: Option<i32>,
    pub experience_level: Option<String>,
    pub location: Option<String>,
    pub website_url: Option<String>,
    pub region: String,
    pub area: Option<String>,
    /// The primary ZIP code.
    pub zipcode: Option<String>,
    pub min_price: Option<Cents>,
    pub max_price: Option<Cents>,
}

/// The status of the provider.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderStatusView {
    current: ProviderStatus,
    is_active: bool,
    /// Whether the provider is active, without a new or running job.
    can_deactivate: bool,
    /// New and running jobs.
    active_jobs_count: i64,
    /// The number of missed deadlines.
    warnings: i32,
    last_availability_confirmed_at: Option<Timestamp>,
    /// Why the LSM turned the provider down.
    rejection_reason: Option<String>,
}

impl ProviderStatusView {
    pub(super) fn new(
        current: ProviderStatus,
        active_jobs_count: i64,
        warnings: i32,
        last_availability_confirmed_at: Option<Timestamp>,
        rejection_reason: Option<String>,
    ) -> Self {
        let is_active = current == ProviderStatus::Active;
        let can_deactivate = is_active && active_jobs_count == 0;
        Self {
            current,
            is_active,
            can_deactivate,
            active_jobs_count,
            warnings,
            last_availability_confirmed_at,
            rejection_reason,
        }
    }
}

/// The provider's history in numbers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderStatisticsView {
    /// Jobs done and paid.
    pub total_jobs: i32,
    /// The earnings from them, in dollars.
    pub earnings: Cents,
    /// The mean of all reviews; 0 without any.
    pub rating: f64,
    pub total_reviews: i64,
}

/// Returns the calling provider's profile.
///
/// # Errors
/// 404 the account is banned or no longer exists.
#[utoipa::path(get, path = "/provider/profile", tag = "providers", security(("provider" = [])),
    responses((status = 200, body = ProviderProfileView)))]
async fn profile(
    State(pooler): State<Pooler>,
    State(urls): State<FileUrls>,
    who: Provider,
) -> Result<Json<ProviderProfileView>> {
    queries::find(&pooler, &urls, who.user_id).await?.map(Json).ok_or(Error::NotFound("provider"))
}

/// Changes the calling provider's profile.
///
/// # Errors
/// 400 a field breaks a rule. 404 the account is banned or no longer exists.
#[utoipa::path(put, path = "/provider/profile", tag = "providers", security(("provider" = [])),
    request_body = ProfileRequest,
    responses((status = 200, body = MessageView)))]
async fn set_profile(
    State(pooler): State<Pooler>,
    who: Provider,
    Json(request): Json<ProfileRequest>,
) -> Result<Json<MessageView>> {
    let change = request.check()?;
    let mut tx = pooler.write().await?;
    let changed = match queries::set(&mut tx, who.user_id, &change).await {
        // The request has one of the prices; the other one is stored.
        Err(error) if violates(&error, "providers_price_range") => {
            let field = if change.min_price_cents.is_some() { "minPrice" } else { "maxPrice" };
            return Err(invalid(field, "does not fit the other price: the lowest must not be above the highest"));
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
