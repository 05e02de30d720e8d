//! `/provider/availability` and `/provider/confirm-availability`.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use crate::auth::Provider;
use crate::error::{Error, Result, invalid};
use crate::outbox::{Notifier, Outbox};
use crate::providers::ProviderStatus;
use crate::providers::status::{self, Actor, Command};
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
    fn check(&self) -> Result<(Command, ProviderStatus)> {
        match self.status.as_deref() {
            Some("active") => Ok((Command::Activate, ProviderStatus::Active)),
            Some("inactive") => Ok((Command::Deactivate, ProviderStatus::Inactive)),
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
    State(notifier): State<Notifier>,
    who: Provider,
    Json(request): Json<AvailabilityRequest>,
) -> Result<Json<AvailabilityView>> {
    let (command, wanted) = request.check()?;
    switch(&pooler, &notifier, who, command, wanted).await
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
async fn mark_available(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Provider,
) -> Result<Json<AvailabilityView>> {
    switch(&pooler, &notifier, who, Command::Activate, ProviderStatus::Active).await
}

async fn switch(
    pooler: &Pooler,
    notifier: &Notifier,
    who: Provider,
    command: Command,
    wanted: ProviderStatus,
) -> Result<Json<AvailabilityView>> {
    let mut tx = pooler.write().await?;
    let provider = status::lock_of_user(&mut tx, who.user_id).await?.ok_or(Error::NotFound("provider"))?;
    let outbox = if provider.status == wanted {
        Outbox::default()
    } else {
        status::change(&mut tx, &provider, command, (Actor::Provider, who.user_id), None).await?
    };
    tx.commit().await?;
    notifier.publish(outbox);
    let message = if wanted == ProviderStatus::Active { "You take bookings now" } else { "You take no bookings now" };
    Ok(Json(AvailabilityView { status: wanted, message }))
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
