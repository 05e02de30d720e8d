//! `/provider/availability` and `/provider/confirm-availability`.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use crate::auth::Provider;
use crate::error::{Error, Result, invalid};
use crate::providers::ProviderStatus;
use crate::state::ApiState;
use crate::types::{ProviderId, Timestamp};
use crate::web::extract::Json;
use doors::Pooler;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(set_availability)).routes(routes!(mark_available)).routes(routes!(confirm))
}

/// The new state of the availability.
#[derive(Deserialize, ToSchema)]
struct AvailabilityRequest {
    /// `active` or `inactive`.
    #[schema(value_type = String)]
    status: Option<String>,
}

impl AvailabilityRequest {
    fn check(&self) -> Result<ProviderStatus> {
        match self.status.as_deref() {
            Some("active") => Ok(ProviderStatus::Active),
            Some("inactive") => Ok(ProviderStatus::Inactive),
            _ => Err(invalid("status", "must be active or inactive")),
        }
    }
}

/// The present state of the availability.
#[derive(Serialize, ToSchema)]
struct AvailabilityView {
    status: ProviderStatus,
    message: &'static str,
}

/// Starts or stops taking bookings. A repeated state is confirmed.
///
/// # Errors
/// 400 neither active nor inactive. 404 the account is gone. 409 a job is new or in progress, or the provider
/// is neither active nor inactive now.
#[utoipa::path(post, path = "/provider/availability", tag = "providers", security(("provider" = [])),
    request_body = AvailabilityRequest,
    responses(
        (status = 200, body = AvailabilityView),
        (status = 400, description = "Neither active nor inactive"),
        (status = 409, description = "A job is new or in progress, or the provider is neither active nor inactive now"),
    ))]
async fn set_availability(
    State(pooler): State<Pooler>,
    who: Provider,
    Json(request): Json<AvailabilityRequest>,
) -> Result<Json<AvailabilityView>> {
    switch_to(&pooler, who, request.check()?).await
}

/// Starts taking bookings: POST /provider/availability with `active`.
///
/// # Errors
/// 404 the account is gone. 409 the provider is neither active nor inactive now.
#[utoipa::path(post, path = "/provider/mark-available", tag = "providers", security(("provider" = [])),
    responses(
        (status = 200, body = AvailabilityView),
        (status = 409, description = "The provider is neither active nor inactive now"),
    ))]
async fn mark_available(State(pooler): State<Pooler>, who: Provider) -> Result<Json<AvailabilityView>> {
    switch_to(&pooler, who, ProviderStatus::Active).await
}

async fn switch_to(pooler: &Pooler, who: Provider, status: ProviderStatus) -> Result<Json<AvailabilityView>> {
    let mut tx = pooler.write().await?;
    // Bookings take a share lock on this row before they add a job: none is in progress while we hold it.
    let provider = queries::lock(&mut tx, who.user_id).await?.ok_or(Error::NotFound("provider"))?;
    if !provider.status.may_switch() {
        let message = format!("a provider who is {} cannot change the availability", provider.status.as_str());
        return Err(Error::Conflict("wrong_state", message));
    }
    if status == ProviderStatus::Inactive {
        let open = queries::count_open_jobs(&mut tx, provider.id).await?;
        if open > 0 {
            let message = format!("{open} of your jobs are new or in progress: finish them before you go inactive");
            return Err(Error::Conflict("open_jobs", message));
        }
    }
    queries::set_status(&mut tx, provider.id, status).await?;
    tx.commit().await?;
    let message = if status == ProviderStatus::Active { "You take bookings now" } else { "You take no bookings now" };
    Ok(Json(AvailabilityView { status, message }))
}

/// A confirmed availability.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfirmedView {
    pub success: bool,
    pub message: &'static str,
    pub confirmed_at: Timestamp,
    pub provider: ConfirmedProviderView,
}

/// The provider who confirmed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfirmedProviderView {
    pub id: ProviderId,
    pub business_name: String,
    pub status: ProviderStatus,
    pub last_availability_confirmed_at: Timestamp,
}

/// Confirms that the caller's availability in the profile still holds.
///
/// # Errors
/// 404 the account is banned or no longer exists.
#[utoipa::path(post, path = "/provider/confirm-availability", tag = "providers", security(("provider" = [])),
    responses((status = 200, body = ConfirmedView)))]
async fn confirm(State(pooler): State<Pooler>, who: Provider) -> Result<Json<ConfirmedView>> {
    let mut tx = pooler.write().await?;
    let confirmed = queries::set_confirmed(&mut tx, who.user_id).await?.ok_or(Error::NotFound("provider"))?;
    tx.commit().await?;
    Ok(Json(confirmed))
}
