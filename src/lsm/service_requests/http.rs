//! `/lsm/service-requests`.

use axum::extract::State;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{self, Lsm};
use crate::error::{Error, Result};
use crate::lsm::MAX_REASON;
use crate::notifications::{NewNotification, NotificationType};
use crate::outbox::{Notifier, Outbox};
use crate::service_requests::ServiceRequestStatus;
use crate::service_requests::for_lsm::{self, LockedRequest, LsmServiceRequestView};
use crate::state::ApiState;
use crate::types::{ServiceRequestId, UserId};
use crate::web::MessageView;
use crate::web::extract::{Json, Path, Query};
use crate::web::fields::Fields;
use crate::web::page::{Page, PageRequest};
use doors::{Pooler, Tx};

/// The most pending requests in one answer.
const MAX_PENDING: i64 = 100;

pub(in crate::lsm) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(pending)).routes(routes!(approve)).routes(routes!(reject))
}

/// A selection of the requests.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct LsmServiceRequestsQuery {
    /// `pending`, `under_review` (approved by the LSM, waiting for an admin; also `lsm_approved`), `approved` or
    /// `rejected`; all by default.
    status: Option<String>,
    /// The number of the page, from 1.
    page: Option<i64>,
    /// 1 to 100; 20 by default.
    limit: Option<i64>,
}

/// Lists the requests for services in the calling LSM's region, newest first.
///
/// # Errors
/// 400 a parameter breaks a rule.
#[utoipa::path(get, path = "/lsm/service-requests", tag = "lsm", security(("local_service_manager" = [])),
    params(LsmServiceRequestsQuery),
    responses((status = 200, body = Page<LsmServiceRequestView>)))]
async fn list(
    State(pooler): State<Pooler>,
    who: Lsm,
    Query(query): Query<LsmServiceRequestsQuery>,
) -> Result<Json<Page<LsmServiceRequestView>>> {
    let mut rules = Fields::new();
    let status = match query.status.as_deref() {
        None | Some("") => None,
        Some("pending") => Some(ServiceRequestStatus::Pending),
        Some("under_review" | "lsm_approved") => Some(ServiceRequestStatus::LsmApproved),
        Some("approved") => Some(ServiceRequestStatus::Approved),
        Some("rejected") => Some(ServiceRequestStatus::Rejected),
        Some(_) => {
            rules.refuse("status", "must be pending, under_review, approved or rejected");
            None
        }
    };
    let page = PageRequest::read(&mut rules, query.page, query.limit);
    rules.finish()?;
    let (requests, total) = for_lsm::list(&pooler, who.user_id, status, page).await?;
    Ok(Json(Page::new(requests, total, page)))
}

/// Lists the requests that wait for the calling LSM, newest first, at most 100.
#[utoipa::path(get, path = "/lsm/service-requests/pending", tag = "lsm", security(("local_service_manager" = [])),
    responses((status = 200, body = Vec<LsmServiceRequestView>)))]
async fn pending(State(pooler): State<Pooler>, who: Lsm) -> Result<Json<Vec<LsmServiceRequestView>>> {
    let page = PageRequest { page: 1, limit: MAX_PENDING };
    Ok(Json(for_lsm::list(&pooler, who.user_id, Some(ServiceRequestStatus::Pending), page).await?.0))
}

/// Approves a request, which then waits for an admin.
///
/// # Errors
/// 404 no such request, or another LSM's. 409 it is decided already.
#[utoipa::path(post, path = "/lsm/service-requests/{id}/approve", tag = "lsm",
    security(("local_service_manager" = [])), params(("id" = ServiceRequestId, Path)),
    responses(
        (status = 200, body = MessageView),
        (status = 404, description = "No such request, or another LSM's"),
        (status = 409, description = "It is decided already"),
    ))]
async fn approve(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Lsm,
    Path(id): Path<ServiceRequestId>,
) -> Result<Json<MessageView>> {
    let mut tx = pooler.write().await?;
    let request = lock(&mut tx, id, who).await?;
    for_lsm::decide(&mut tx, id, None).await?;
    let service = &request.service_name;
    let mut notifications = vec![notification(
        request.requested_by,
        id,
        "Service request approved",
        format!("Your local service manager is for {service}: an admin decides next"),
    )];
    let for_admins =
        format!("{} asks for the service {service}, and the local service manager is for it", request.name);
    let admins = auth::queries::list_admins(&mut tx).await?.into_iter();
    notifications.extend(admins.map(|admin| notification(admin, id, "New service request", for_admins.clone())));
    let mut outbox = Outbox::default();
    outbox.notify(&mut tx, notifications).await?;
    tx.commit().await?;
    notifier.publish(outbox);
    Ok(Json(MessageView::new("Service request approved: an admin decides next")))
}

/// The reason of a rejection.
#[derive(Deserialize, ToSchema)]
#[schema(as = LsmServiceRequestRejection)]
struct RejectRequest {
    /// At most 1,000 characters; the person who asked reads it.
    #[schema(value_type = String)]
    reason: Option<String>,
}

/// Rejects a request.
///
/// # Errors
/// 400 a field breaks a rule. 404 no such request, or another LSM's. 409 it is decided already.
#[utoipa::path(post, path = "/lsm/service-requests/{id}/reject", tag = "lsm",
    security(("local_service_manager" = [])), params(("id" = ServiceRequestId, Path)), request_body = RejectRequest,
    responses(
        (status = 200, body = MessageView),
        (status = 404, description = "No such request, or another LSM's"),
        (status = 409, description = "It is decided already"),
    ))]
async fn reject(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Lsm,
    Path(id): Path<ServiceRequestId>,
    Json(request): Json<RejectRequest>,
) -> Result<Json<MessageView>> {
    let mut rules = Fields::new();
    let reason = rules.text("reason", request.reason, MAX_REASON);
    rules.finish()?;
    let mut tx = pooler.write().await?;
    let request = lock(&mut tx, id, who).await?;
    for_lsm::decide(&mut tx, id, Some(&reason)).await?;
    let message = format!("Your local service manager turned {} down: {reason}", request.service_name);
    let mut outbox = Outbox::default();
    outbox.notify(&mut tx, [notification(request.requested_by, id, "Service request rejected", message)]).await?;
    tx.commit().await?;
    notifier.publish(outbox);
    Ok(Json(MessageView::new("Service request rejected")))
}

/// Locks a request that waits for this LSM.
async fn lock(tx: &mut Tx<Pooler>, id: ServiceRequestId, who: Lsm) -> Result<LockedRequest> {
    let request = for_lsm::lock(tx, id, who.user_id).await?.ok_or(Error::NotFound("service request"))?;
    let state = match request.status {
        ServiceRequestStatus::Pending => return Ok(request),
        ServiceRequestStatus::LsmApproved => "approved by you, and waits for an admin",
        ServiceRequestStatus::Approved => "approved",
        ServiceRequestStatus::Rejected => "rejected",
    };
    let message = format!("this request cannot be decided again: it is {state}. Possible for you now: nothing");
    Err(Error::Conflict("wrong_state", message))
}

fn notification(
    recipient_id: UserId,
    request: ServiceRequestId,
    title: &'static str,
    message: String,
) -> NewNotification {
    NewNotification {
        recipient_id,
        kind: NotificationType::System,
        title: title.into(),
        message,
        metadata: serde_json::json!({"requestId": request}),
    }
}
