//! `/lsm/providers/{id}`: approve and reject, activate and deactivate, ask for a ban.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{self, Lsm};
use crate::error::{Error, Result, invalid};
use crate::lsm::MAX_REASON;
use crate::notifications::{NewNotification, NotificationType};
use crate::outbox::{Notifier, Outbox};
use crate::providers::ban_requests;
use crate::providers::status::{self, Actor, Command};
use crate::state::ApiState;
use crate::types::{BanRequestId, ProviderId};
use crate::web::MessageView;
use crate::web::extract::{Json, Path};
use crate::web::fields::Fields;
use doors::Pooler;

/// The shortest reason of a rejection, in characters, as today's clients count them.
const MIN_REJECTION: usize = 10;

/// The rule of the field `status`.
const STATUS_RULE: &str = "must be active or inactive";

pub(in crate::lsm) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(approve))
        .routes(routes!(reject))
        .routes(routes!(set_status))
        .routes(routes!(request_ban))
}

/// Approves a pending provider, who takes bookings from now on.
///
/// # Errors
/// 404 no such provider, or another LSM's. 409 the provider is not pending.
#[utoipa::path(post, path = "/lsm/providers/{id}/approve-onboarding", tag = "lsm",
    security(("local_service_manager" = [])), params(("id" = ProviderId, Path)),
    responses(
        (status = 200, body = MessageView),
        (status = 404, description = "No such provider, or another LSM's"),
        (status = 409, description = "The provider is not pending"),
    ))]
async fn approve(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Lsm,
    Path(id): Path<ProviderId>,
) -> Result<Json<MessageView>> {
    change(&pooler, &notifier, who, id, Command::Approve, None).await?;
    Ok(Json(MessageView::new("The provider is approved, and takes bookings now")))
}

/// The reason of a rejection.
#[derive(Deserialize, ToSchema)]
struct RejectOnboardingRequest {
    /// 10 to 1,000 characters; the provider reads it.
    #[schema(value_type = String)]
    reason: Option<String>,
}

impl RejectOnboardingRequest {
    fn check(self) -> Result<String> {
        let mut rules = Fields::new();
        let length = self.reason.as_deref().map_or(0, |reason| reason.chars().count());
        let reason = rules.text("reason", self.reason, MAX_REASON);
        rules.check("reason", length >= MIN_REJECTION, "must be at least 10 characters");
        rules.finish()?;
        Ok(reason)
    }
}

/// Rejects a pending provider.
///
/// # Errors
/// 400 a field breaks a rule. 404 no such provider, or another LSM's. 409 the provider is not pending.
#[utoipa::path(post, path = "/lsm/providers/{id}/reject-onboarding", tag = "lsm",
    security(("local_service_manager" = [])), params(("id" = ProviderId, Path)),
    request_body = RejectOnboardingRequest,
    responses(
        (status = 200, body = MessageView),
        (status = 404, description = "No such provider, or another LSM's"),
        (status = 409, description = "The provider is not pending"),
    ))]
async fn reject(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Lsm,
    Path(id): Path<ProviderId>,
    Json(request): Json<RejectOnboardingRequest>,
) -> Result<Json<MessageView>> {
    let reason = request.check()?;
    change(&pooler, &notifier, who, id, Command::Reject, Some(&reason)).await?;
    Ok(Json(MessageView::new("The provider is rejected, and has been notified")))
}

/// The new status.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SetStatusRequest {
    /// `active` or `inactive`.
    #[schema(value_type = String)]
    status: Option<String>,
    /// At most 1,000 characters; the provider reads it.
    reason: Option<String>,
    /// Deactivates despite open jobs, which stay as they are.
    force_deactivate: Option<bool>,
    /// Another name for `forceDeactivate`.
    force: Option<bool>,
}

impl SetStatusRequest {
    fn check(self) -> Result<(Command, Option<String>)> {
        let mut rules = Fields::new();
        let is_forced = self.force_deactivate.or(self.force) == Some(true);
        let command = match self.status.as_deref() {
            Some("active") => Some(Command::Activate),
            Some("inactive") if is_forced => Some(Command::ForceDeactivate),
            Some("inactive") => Some(Command::Deactivate),
            _ => None,
        };
        rules.check("status", command.is_some(), STATUS_RULE);
        let reason = rules.optional_text("reason", self.reason, MAX_REASON);
        rules.finish()?;
        Ok((command.ok_or_else(|| invalid("status", STATUS_RULE))?, reason))
    }
}

/// Activates or deactivates a provider.
///
/// # Errors
/// 400 a field breaks a rule. 404 no such provider, or another LSM's. 409 the provider's status does not allow it, or a
/// job is new or in progress and nothing is forced.
#[utoipa::path(post, path = "/lsm/providers/{id}/set-status", tag = "lsm",
    security(("local_service_manager" = [])), params(("id" = ProviderId, Path)), request_body = SetStatusRequest,
    responses(
        (status = 200, body = MessageView),
        (status = 404, description = "No such provider, or another LSM's"),
        (status = 409, description = "The provider's status does not allow it, or a job is new or in progress"),
    ))]
async fn set_status(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Lsm,
    Path(id): Path<ProviderId>,
    Json(request): Json<SetStatusRequest>,
) -> Result<Json<MessageView>> {
    let (command, reason) = request.check()?;
    change(&pooler, &notifier, who, id, command, reason.as_deref()).await?;
    let is_active = command == Command::Activate;
    Ok(Json(MessageView::new(if is_active { "The provider is active" } else { "The provider is inactive" })))
}

async fn change(
    pooler: &Pooler,
    notifier: &Notifier,
    who: Lsm,
    id: ProviderId,
    command: Command,
    reason: Option<&str>,
) -> Result<()> {
    let mut tx = pooler.write().await?;
    let provider = status::lock_of_lsm(&mut tx, id, who.user_id).await?.ok_or(Error::NotFound("provider"))?;
    let outbox = status::change(&mut tx, &provider, command, (Actor::Lsm, who.user_id), reason).await?;
    tx.commit().await?;
    notifier.publish(outbox);
    Ok(())
}

/// The reason of a request for a ban.
#[derive(Deserialize, ToSchema)]
struct RequestBanRequest {
    /// At most 1,000 characters; admins read it.
    #[schema(value_type = String)]
    reason: Option<String>,
}

/// A new request for a ban.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct BanRequestedView {
    request_id: BanRequestId,
    message: &'static str,
}

/// Asks the admins to ban a provider.
///
/// # Errors
/// 400 a field breaks a rule. 404 no such provider, or another LSM's. 409 the provider's status does not allow a ban, or a
/// request waits already.
#[utoipa::path(post, path = "/lsm/providers/{id}/request-ban", tag = "lsm",
    security(("local_service_manager" = [])), params(("id" = ProviderId, Path)), request_body = RequestBanRequest,
    responses(
        (status = 200, body = BanRequestedView),
        (status = 404, description = "No such provider, or another LSM's"),
        (status = 409, description = "The provider's status does not allow a ban, or a request waits already"),
    ))]
async fn request_ban(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Lsm,
    Path(id): Path<ProviderId>,
    Json(request): Json<RequestBanRequest>,
) -> Result<Json<BanRequestedView>> {
    let mut rules = Fields::new();
    let reason = rules.text("reason", request.reason, MAX_REASON);
    rules.finish()?;
    let mut tx = pooler.write().await?;
    let provider = status::lock_of_lsm(&mut tx, id, who.user_id).await?.ok_or(Error::NotFound("provider"))?;
    provider.check_bannable()?;
    let request_id = ban_requests::insert(&mut tx, id, who.user_id, &reason).await?;
    let request_id = request_id.ok_or_else(|| {
        Error::Conflict("ban_requested", "a request to ban this provider waits for an admin already".into())
    })?;
    let admins = auth::queries::list_admins(&mut tx).await?;
    let notifications = admins.into_iter().map(|recipient_id| NewNotification {
        recipient_id,
        kind: NotificationType::System,
        title: "Ban requested".into(),
        message: format!("The local service manager asks to ban {}: {reason}", provider.business_name),
        metadata: serde_json::json!({"banRequestId": request_id, "providerId": id}),
    });
    let mut outbox = Outbox::default();
    outbox.notify(&mut tx, notifications).await?;
    tx.commit().await?;
    notifier.publish(outbox);
    Ok(Json(BanRequestedView { request_id, message: "The admins have been asked to ban the provider" }))
}
