//! `/admin/providers/{id}/ban`, `…/unban` and `/admin/providers/status`: changes of providers' statuses.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::events::{self, AdminAction, AdminEvent, AdminSubject};
use crate::auth::{self, Admin};
use crate::error::{Error, Result};
use crate::outbox::{Notifier, Outbox};
use crate::providers::ProviderStatus;
use crate::providers::status::{self, Actor, Command, LockedProvider};
use crate::state::ApiState;
use crate::types::ProviderId;
use crate::web::MessageView;
use crate::web::extract::{Json, Path};
use crate::web::fields::Fields;
use doors::{Pooler, Tx};

/// The longest reason, in characters.
const MAX_REASON: usize = 500;

/// The most providers of one batch.
const MAX_IDS: usize = 200;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(ban)).routes(routes!(unban)).routes(routes!(set_statuses))
}

/// The reason of a ban.
#[derive(Deserialize, ToSchema)]
#[schema(as = ProviderBanRequest)]
struct BanRequest {
    /// At most 500 characters; the provider and its LSM read it.
    #[schema(value_type = String)]
    reason: Option<String>,
}

/// Bans a provider: refuses every request and login from now on, and closes the sockets.
///
/// # Errors
/// 400 a field breaks a rule, or the provider's state does not allow it: clients show a 400 in its own words. 404 no such
/// provider.
#[utoipa::path(post, path = "/admin/providers/{id}/ban", tag = "admin", security(("admin" = [])),
    params(("id" = ProviderId, Path)), request_body = BanRequest,
    responses(
        (status = 200, body = MessageView),
        (status = 400, description = "A field breaks a rule, or the provider's state does not allow it"),
        (status = 404, description = "No such provider"),
    ))]
async fn ban(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Admin,
    Path(id): Path<ProviderId>,
    Json(request): Json<BanRequest>,
) -> Result<Json<MessageView>> {
    let mut rules = Fields::new();
    let reason = rules.text("reason", request.reason, MAX_REASON);
    rules.finish()?;
    let mut tx = pooler.write().await?;
    let provider = status::lock(&mut tx, id).await?.ok_or(Error::NotFound("provider"))?;
    let outbox = change(&mut tx, &provider, Command::Ban, who, Some(&reason)).await.map_err(shown)?;
    tx.commit().await?;
    notifier.publish(outbox);
    Ok(Json(MessageView::new("Provider banned successfully")))
}

/// Lifts the ban of a provider, who is active again and has to log in again.
///
/// # Errors
/// 400 the provider is not banned: clients show a 400 in its own words. 404 no such provider.
#[utoipa::path(post, path = "/admin/providers/{id}/unban", tag = "admin", security(("admin" = [])),
    params(("id" = ProviderId, Path)),
    responses(
        (status = 200, body = MessageView),
        (status = 400, description = "The provider is not banned"),
        (status = 404, description = "No such provider"),
    ))]
async fn unban(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Admin,
    Path(id): Path<ProviderId>,
) -> Result<Json<MessageView>> {
    let mut tx = pooler.write().await?;
    let provider = status::lock(&mut tx, id).await?.ok_or(Error::NotFound("provider"))?;
    let outbox = change(&mut tx, &provider, Command::Unban, who, None).await.map_err(shown)?;
    tx.commit().await?;
    notifier.publish(outbox);
    Ok(Json(MessageView::new("Provider unbanned successfully")))
}

/// A refusal as the page of bans shows it: of what is a conflict, it shows a text of its own.
fn shown(error: Error) -> Error {
    match error {
        Error::Conflict(code, message) => Error::Refused(code, message),
        other => other,
    }
}

/// Changes a locked provider by a rule, records it, and ends the logins of one that is banned.
pub(in crate::admin) async fn change(
    tx: &mut Tx<Pooler>,
    provider: &LockedProvider,
    command: Command,
    who: Admin,
    reason: Option<&str>,
) -> Result<Outbox> {
    let outbox = status::change(tx, provider, command, (Actor::Admin, who.user_id), reason)
        .await
        .map_err(|error| in_context(error, provider.status, command))?;
    if command == Command::Ban {
        auth::queries::set_all_revoked(tx, provider.user_id, chrono::Utc::now()).await?;
    }
    let event = AdminEvent {
        actor: who.user_id,
        action: AdminAction::SetProviderStatus,
        subject: AdminSubject::Provider,
        subject_id: Some(provider.id.0),
        before: Some(json!({"status": provider.status})),
        after: Some(json!({"command": command, "reason": reason})),
    };
    events::record(tx, &event).await?;
    Ok(outbox)
}

/// A refusal, in the words that clients look for.
fn in_context(error: Error, status: ProviderStatus, command: Command) -> Error {
    let Error::Conflict(code, message) = error else { return error };
    let why = match (command, status) {
        (Command::Ban, ProviderStatus::Banned) => "this provider is already banned: ",
        (Command::Ban, ProviderStatus::Pending) => "this provider is pending approval: ",
        (Command::Unban, status) if status != ProviderStatus::Banned => "this provider is not banned: ",
        _ => "",
    };
    Error::Conflict(code, format!("{why}{message}"))
}

/// A new status for several providers.
#[derive(Deserialize, ToSchema)]
struct StatusesRequest {
    /// 1 to 200.
    ids: Vec<ProviderId>,
    /// `active`, `inactive`, `rejected` or `banned`.
    #[schema(inline)]
    status: ProviderStatus,
    /// At most 500 characters; required with `rejected` and `banned`.
    reason: Option<String>,
}

impl StatusesRequest {
    fn check(self) -> Result<(Vec<ProviderId>, ProviderStatus, Option<String>)> {
        let mut rules = Fields::new();
        rules.check("ids", (1..=MAX_IDS).contains(&self.ids.len()), "must hold 1 to 200 ids");
        let reason = rules.optional_text("reason", self.reason, MAX_REASON);
        match self.status {
            ProviderStatus::Active | ProviderStatus::Inactive => {}
            ProviderStatus::Rejected | ProviderStatus::Banned => {
                rules.check("reason", reason.is_some(), "must not be empty");
            }
            ProviderStatus::Pending => rules.refuse("status", "must be active, inactive, rejected or banned"),
        }
        rules.finish()?;
        // In one order, so that two batches do not wait for each other.
        let mut ids = self.ids;
        ids.sort_unstable();
        ids.dedup();
        Ok((ids, self.status, reason))
    }
}

/// What was done.
#[derive(Serialize, ToSchema)]
struct StatusesView {
    changed: usize,
    unchanged: usize,
    refused: usize,
    /// One for each provider, by id.
    results: Vec<StatusResultView>,
}

/// The result for one provider.
#[derive(Serialize, ToSchema)]
struct StatusResultView {
    id: ProviderId,
    /// `changed`, `unchanged` (it has the status already), or `refused`.
    result: &'static str,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// Gives several providers a status, each as its own state allows, all in one transaction.
///
/// # Errors
/// 400 a field breaks a rule.
#[utoipa::path(post, path = "/admin/providers/status", tag = "admin", security(("admin" = [])),
    request_body = StatusesRequest,
    responses((status = 200, body = StatusesView)))]
async fn set_statuses(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Admin,
    Json(request): Json<StatusesRequest>,
) -> Result<Json<StatusesView>> {
    let (ids, status, reason) = request.check()?;
    let mut tx = pooler.write().await?;
    let mut outbox = Outbox::default();
    let mut results = Vec::new();
    for id in ids {
        let (result, message) = match set_status(&mut tx, id, status, who, reason.as_deref()).await {
            Ok(Some(announced)) => {
                outbox.append(announced);
                ("changed", None)
            }
            Ok(None) => ("unchanged", None),
            Err(Error::Conflict(_, message)) => ("refused", Some(message)),
            Err(Error::NotFound(what)) => ("refused", Some(Error::NotFound(what).to_string())),
            Err(error) => return Err(error),
        };
        results.push(StatusResultView { id, result, message });
    }
    tx.commit().await?;
    notifier.publish(outbox);
    let count = |result| results.iter().filter(|one| one.result == result).count();
    let (changed, unchanged, refused) = (count("changed"), count("unchanged"), count("refused"));
    Ok(Json(StatusesView { changed, unchanged, refused, results }))
}

/// Gives a provider a status. Returns `None` if it has it already. What is refused is refused before anything is written,
/// so that the transaction goes on.
async fn set_status(
    tx: &mut Tx<Pooler>,
    id: ProviderId,
    to: ProviderStatus,
    who: Admin,
    reason: Option<&str>,
) -> Result<Option<Outbox>> {
    let provider = status::lock(tx, id).await?.ok_or(Error::NotFound("provider"))?;
    if provider.status == to {
        return Ok(None);
    }
    let command = command_to(provider.status, to);
    change(tx, &provider, command, who, reason).await.map(Some)
}

/// The command that leads from one status to another, where any does.
const fn command_to(from: ProviderStatus, to: ProviderStatus) -> Command {
    match (from, to) {
        (ProviderStatus::Pending, ProviderStatus::Active) => Command::Approve,
        (ProviderStatus::Banned, ProviderStatus::Active) => Command::Unban,
        (_, ProviderStatus::Active | ProviderStatus::Pending) => Command::Activate,
        (_, ProviderStatus::Inactive) => Command::Deactivate,
        (_, ProviderStatus::Rejected) => Command::Reject,
        (_, ProviderStatus::Banned) => Command::Ban,
    }
}
