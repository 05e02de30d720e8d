//! `/admin/ban-requests`.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, BanRequestFilter, LockedBanRequest};
use crate::admin::events::{self, AdminAction, AdminEvent, AdminSubject};
use crate::admin::list::NameView;
use crate::admin::providers;
use crate::auth::Admin;
use crate::error::{Error, Result};
use crate::notifications::{NewNotification, NotificationType};
use crate::outbox::{Notifier, Outbox};
use crate::providers::ProviderStatus;
use crate::providers::status::{self, Command};
use crate::state::ApiState;
use crate::types::{BanRequestId, Timestamp, text_enum};
use crate::web::MessageView;
use crate::web::extract::{Json, Path, Query};
use crate::web::fields::Fields;
use crate::web::page::{Page, PageRequest};
use doors::{Pooler, Tx};

/// The longest reason of a rejection, in characters.
const MAX_REASON: usize = 500;

pub(in crate::admin) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(approve)).routes(routes!(reject))
}

text_enum! {
    /// The state of a request for a ban.
    BanRequestStatus {
        /// Waits for an admin.
        Pending = "pending",
        /// The provider was banned.
        Approved = "approved",
        Rejected = "rejected",
    }
}

/// A selection of the requests.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct BanRequestsQuery {
    /// Returns only requests in this state.
    #[param(inline)]
    status: Option<BanRequestStatus>,
    /// The number of the page, from 1.
    page: Option<i64>,
    /// 1 to 100; 20 by default.
    limit: Option<i64>,
}

/// An LSM's request to ban a provider.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct BanRequestView {
    pub id: BanRequestId,
    pub status: BanRequestStatus,
    /// In the LSM's words.
    pub reason: String,
    pub provider: NameView,
    pub provider_status: ProviderStatus,
    /// The provider's.
    pub region: String,
    /// The LSM's user.
    pub requested_by: NameView,
    pub created_at: Timestamp,
    pub decided_at: Option<Timestamp>,
}

/// Lists the requests to ban providers, newest first.
///
/// # Errors
/// 400 a parameter breaks a rule.
#[utoipa::path(get, path = "/admin/ban-requests", tag = "admin", security(("admin" = [])), params(BanRequestsQuery),
    responses((status = 200, body = Page<BanRequestView>)))]
async fn list(
    State(pooler): State<Pooler>,
    _who: Admin,
    Query(query): Query<BanRequestsQuery>,
) -> Result<Json<Page<BanRequestView>>> {
    let mut rules = Fields::new();
    let page = PageRequest::read(&mut rules, query.page, query.limit);
    rules.finish()?;
    let (requests, total) = queries::list(&pooler, BanRequestFilter { status: query.status, page }).await?;
    Ok(Json(Page::new(requests, total, page)))
}

/// Approves a request: the provider is banned, for the LSM's reason.
///
/// # Errors
/// 404 no such request. 409 it is decided already, or the provider cannot be banned now.
#[utoipa::path(post, path = "/admin/ban-requests/{id}/approve", tag = "admin", security(("admin" = [])),
    params(("id" = BanRequestId, Path)),
    responses(
        (status = 200, body = MessageView),
        (status = 404, description = "No such request"),
        (status = 409, description = "It is decided already, or the provider cannot be banned now"),
    ))]
async fn approve(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Admin,
    Path(id): Path<BanRequestId>,
) -> Result<Json<MessageView>> {
    let mut tx = pooler.write().await?;
    // The provider first, as every ban locks it first.
    let provider = queries::find_provider(&mut tx, id).await?.ok_or(Error::NotFound("ban request"))?;
    let provider = status::lock(&mut tx, provider).await?.ok_or(Error::NotFound("provider"))?;
    let request = lock(&mut tx, id).await?;
    let mut outbox = providers::change(&mut tx, &provider, Command::Ban, who, Some(&request.reason)).await?;
    outbox.append(decide(&mut tx, id, &request, BanRequestStatus::Approved, who, None).await?);
    tx.commit().await?;
    notifier.publish(outbox);
    Ok(Json(MessageView::new("Ban request approved: the provider is banned")))
}

/// Why a request is turned down.
#[derive(Deserialize, ToSchema)]
#[schema(as = BanRejectionRequest)]
struct RejectRequest {
    /// At most 500 characters; the LSM reads it.
    reason: Option<String>,
}

/// Rejects a request: the provider stays as it is.
///
/// # Errors
/// 400 a field breaks a rule. 404 no such request. 409 it is decided already.
#[utoipa::path(post, path = "/admin/ban-requests/{id}/reject", tag = "admin", security(("admin" = [])),
    params(("id" = BanRequestId, Path)), request_body = Option<RejectRequest>,
    responses(
        (status = 200, body = MessageView),
        (status = 404, description = "No such request"),
        (status = 409, description = "It is decided already"),
    ))]
async fn reject(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Admin,
    Path(id): Path<BanRequestId>,
    request: Option<Json<RejectRequest>>,
) -> Result<Json<MessageView>> {
    let mut rules = Fields::new();
    let reason = rules.optional_text("reason", request.and_then(|Json(request)| request.reason), MAX_REASON);
    rules.finish()?;
    let mut tx = pooler.write().await?;
    let request = lock(&mut tx, id).await?;
    let outbox = decide(&mut tx, id, &request, BanRequestStatus::Rejected, who, reason.as_deref()).await?;
    tx.commit().await?;
    notifier.publish(outbox);
    Ok(Json(MessageView::new("Ban request rejected")))
}

/// Locks a request that waits for an admin.
async fn lock(tx: &mut Tx<Pooler>, id: BanRequestId) -> Result<LockedBanRequest> {
    let request = queries::lock(tx, id).await?.ok_or(Error::NotFound("ban request"))?;
    match request.status {
        BanRequestStatus::Pending => Ok(request),
        BanRequestStatus::Approved | BanRequestStatus::Rejected => {
            let status = request.status.as_str();
            let why = format!("this request is {status} already. Possible for you now: nothing");
            Err(Error::Conflict("wrong_state", why))
        }
    }
}

/// Stores and records a decision, and notifies the LSM who asked.
async fn decide(
    tx: &mut Tx<Pooler>,
    id: BanRequestId,
    request: &LockedBanRequest,
    status: BanRequestStatus,
    who: Admin,
    reason: Option<&str>,
) -> Result<Outbox> {
    queries::decide(tx, id, status, who.user_id).await?;
    let action = match status {
        BanRequestStatus::Approved => AdminAction::ApproveBanRequest,
        BanRequestStatus::Pending | BanRequestStatus::Rejected => AdminAction::RejectBanRequest,
    };
    let event = AdminEvent {
        actor: who.user_id,
        action,
        subject: AdminSubject::BanRequest,
        subject_id: Some(id.0),
        before: Some(json!({"status": request.status})),
        after: Some(json!({"status": status, "reason": reason, "providerId": request.provider_id})),
    };
    events::record(tx, &event).await?;
    let because = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    let mut outbox = Outbox::default();
    let notification = NewNotification {
        recipient_id: request.requested_by,
        kind: NotificationType::System,
        title: format!("Ban request {}", status.as_str()).into(),
        message: format!("Your request to ban {} was {}{because}", request.business_name, status.as_str()),
        metadata: json!({"banRequestId": id, "providerId": request.provider_id}),
    };
    outbox.notify(tx, [notification]).await?;
    Ok(outbox)
}
