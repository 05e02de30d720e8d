//! `/admin/service-requests`.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::events::{self, AdminAction, AdminEvent, AdminSubject};
use crate::auth::Admin;
use crate::catalog::editing;
use crate::error::{Error, Result};
use crate::notifications::{NewNotification, NotificationType};
use crate::outbox::{Notifier, Outbox};
use crate::providers;
use crate::service_requests::ServiceRequestStatus;
use crate::service_requests::for_admin::{self, LockedRequest, WaitingRequest};
use crate::state::ApiState;
use crate::types::{LsmId, ServiceId, ServiceRequestId, Timestamp};
use crate::web::MessageView;
use crate::web::extract::{Json, Path};
use crate::web::fields::Fields;
use doors::{Pooler, Tx};

/// The most requests in one answer.
const MAX_WAITING: i64 = 100;

/// The longest reason of a rejection, in characters.
const MAX_REASON: usize = 500;

pub(in crate::admin) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(waiting)).routes(routes!(approve)).routes(routes!(reject))
}

/// A request that its LSM has approved.
#[derive(Serialize, ToSchema)]
struct WaitingRequestView {
    id: ServiceRequestId,
    #[serde(rename = "serviceName")]
    service_name: String,
    /// Empty where a customer asks.
    category: String,
    description: String,
    /// What customers should be asked: a list, or an object.
    questions_json: Option<Value>,
    region: String,
    /// Who asks.
    provider: RequesterView,
    /// Who approved it.
    lsm: ApproverView,
    lsm_reviewed_at: Timestamp,
    created_at: Timestamp,
}

/// Who asks for a service.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RequesterView {
    /// The customer's name where a customer asks.
    business_name: String,
    user: RequestingUserView,
}

/// The user who asks.
#[derive(Serialize, ToSchema)]
struct RequestingUserView {
    first_name: String,
    last_name: String,
    email: String,
}

/// The LSM who approved a request.
#[derive(Serialize, ToSchema)]
struct ApproverView {
    id: LsmId,
    /// First and last name.
    name: String,
    region: String,
}

impl From<WaitingRequest> for WaitingRequestView {
    fn from(row: WaitingRequest) -> Self {
        let name = || format!("{} {} (customer)", row.first_name, row.last_name);
        Self {
            id: row.id,
            service_name: row.service_name,
            category: row.category.unwrap_or_default(),
            description: row.description,
            questions_json: row.questions,
            region: row.region.unwrap_or_else(|| row.lsm_region.clone()),
            provider: RequesterView {
                business_name: row.business_name.unwrap_or_else(name),
                user: RequestingUserView { first_name: row.first_name, last_name: row.last_name, email: row.email },
            },
            lsm: ApproverView { id: row.lsm_id, name: row.lsm_name, region: row.lsm_region },
            lsm_reviewed_at: Timestamp(row.reviewed_at),
            created_at: Timestamp(row.created_at),
        }
    }
}

/// Lists the requests that wait for an admin, the oldest first, at most 100.
#[utoipa::path(get, path = "/admin/service-requests/pending", tag = "admin", security(("admin" = [])),
    responses((status = 200, body = Vec<WaitingRequestView>)))]
async fn waiting(State(pooler): State<Pooler>, _who: Admin) -> Result<Json<Vec<WaitingRequestView>>> {
    let requests = for_admin::list_waiting(&pooler, MAX_WAITING).await?;
    Ok(Json(requests.into_iter().map(WaitingRequestView::from).collect()))
}

/// A request that was approved.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RequestApprovedView {
    message: &'static str,
    /// The new service, or the one that had the name already.
    service_id: ServiceId,
}

/// Approves a request: the service is in the catalogue from now on, and the provider who asked offers it.
///
/// # Errors
/// 404 no such request. 409 it does not wait for an admin.
#[utoipa::path(post, path = "/admin/service-requests/{id}/approve", tag = "admin", security(("admin" = [])),
    params(("id" = ServiceRequestId, Path)),
    responses(
        (status = 200, body = RequestApprovedView),
        (status = 404, description = "No such request"),
        (status = 409, description = "It does not wait for an admin"),
    ))]
async fn approve(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Admin,
    Path(id): Path<ServiceRequestId>,
) -> Result<Json<RequestApprovedView>> {
    let mut tx = pooler.write().await?;
    let request = lock(&mut tx, id).await?;
    editing::lock_names(&mut tx).await?;
    let category = request.category.as_deref().unwrap_or("Other");
    let (name, description) = (&request.service_name, &request.description);
    let service = editing::insert_or_find(&mut tx, name, category, description, request.questions.as_ref()).await?;
    if request.is_providers {
        providers::add_service(&mut tx, request.requested_by, service).await?;
    }
    for_admin::decide(&mut tx, id, None).await?;
    let outbox = announce(&mut tx, id, &request, "approved", "is in the catalogue now").await?;
    record(&mut tx, who, AdminAction::ApproveServiceRequest, id, json!({"status": "approved", "serviceId": service}))
        .await?;
    tx.commit().await?;
    notifier.publish(outbox);
    Ok(Json(RequestApprovedView { message: "Service request approved", service_id: service }))
}

/// The reason of a rejection.
#[derive(Deserialize, ToSchema)]
#[schema(as = ServiceRequestRejectionRequest)]
struct RejectRequest {
    /// At most 500 characters; the person who asked reads it.
    #[schema(value_type = String)]
    reason: Option<String>,
}

/// Rejects a request.
///
/// # Errors
/// 400 a field breaks a rule. 404 no such request. 409 it does not wait for an admin.
#[utoipa::path(post, path = "/admin/service-requests/{id}/reject", tag = "admin", security(("admin" = [])),
    params(("id" = ServiceRequestId, Path)), request_body = RejectRequest,
    responses(
        (status = 200, body = MessageView),
        (status = 404, description = "No such request"),
        (status = 409, description = "It does not wait for an admin"),
    ))]
async fn reject(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Admin,
    Path(id): Path<ServiceRequestId>,
    Json(request): Json<RejectRequest>,
) -> Result<Json<MessageView>> {
    let mut rules = Fields::new();
    let reason = rules.text("reason", request.reason, MAX_REASON);
    rules.finish()?;
    let mut tx = pooler.write().await?;
    let request = lock(&mut tx, id).await?;
    for_admin::decide(&mut tx, id, Some(&reason)).await?;
    let outbox = announce(&mut tx, id, &request, "rejected", &format!("was turned down: {reason}")).await?;
    record(&mut tx, who, AdminAction::RejectServiceRequest, id, json!({"status": "rejected", "reason": reason}))
        .await?;
    tx.commit().await?;
    notifier.publish(outbox);
    Ok(Json(MessageView::new("Service request rejected")))
}

/// Locks a request that waits for an admin.
async fn lock(tx: &mut Tx<Pooler>, id: ServiceRequestId) -> Result<LockedRequest> {
    let request = for_admin::lock(tx, id).await?.ok_or(Error::NotFound("service request"))?;
    let why = match request.status {
        ServiceRequestStatus::LsmApproved => return Ok(request),
        ServiceRequestStatus::Pending => "this request waits for its LSM: possible now for you: nothing",
        ServiceRequestStatus::Approved => "this request is approved already: possible now: nothing",
        ServiceRequestStatus::Rejected => "this request is rejected already: possible now: nothing",
    };
    Err(Error::Conflict("wrong_state", why.into()))
}

/// Notifies the person who asked, and the LSM.
async fn announce(
    tx: &mut Tx<Pooler>,
    id: ServiceRequestId,
    request: &LockedRequest,
    decision: &str,
    outcome: &str,
) -> Result<Outbox> {
    let notification = |recipient_id| NewNotification {
        recipient_id,
        kind: NotificationType::System,
        title: format!("Service request {decision}").into(),
        message: format!("The service {} {outcome}", request.service_name),
        metadata: json!({"requestId": id}),
    };
    let mut outbox = Outbox::default();
    outbox
        .notify(tx, [Some(request.requested_by), request.lsm_user_id].into_iter().flatten().map(notification))
        .await?;
    Ok(outbox)
}

async fn record(
    tx: &mut Tx<Pooler>,
    who: Admin,
    action: AdminAction,
    id: ServiceRequestId,
    after: Value,
) -> Result<()> {
    let event = AdminEvent {
        actor: who.user_id,
        action,
        subject: AdminSubject::ServiceRequest,
        subject_id: Some(id.0),
        before: Some(json!({"status": ServiceRequestStatus::LsmApproved})),
        after: Some(after),
    };
    Ok(events::record(tx, &event).await?)
}
