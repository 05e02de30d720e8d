//! `/lsm/disputes`: an LSM settles the disputes about its providers.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::DisputeStatus;
use super::queries::{self, DisputeFilter, DisputeRow};
use crate::auth::Lsm;
use crate::db::Pooler;
use crate::error::{Error, Result};
use crate::jobs::{Action, queries::insert_event};
use crate::notifications::{self, NewNotification, NotificationType};
use crate::outbox::Notifier;
use crate::state::ApiState;
use crate::types::{Cents, ChatId, DisputeId, JobId, JobStatus, ProviderId, Timestamp};
use crate::web::MessageView;
use crate::web::extract::{Json, Path, Query};
use crate::web::fields::{Fields, LONG_TEXT};
use crate::web::page::{Page, PageRequest};

pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(join_chat)).routes(routes!(resolve))
}

/// Which disputes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct DisputesQuery {
    /// `open` or `resolved`; both if left out.
    status: Option<String>,
    /// 1 and up.
    page: Option<i64>,
    /// 1 to 100; 20 if left out.
    limit: Option<i64>,
}

/// A dispute about a job of one of the LSM's providers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DisputeView {
    id: DisputeId,
    status: DisputeStatus,
    /// What went wrong, in the customer's words.
    description: String,
    /// How it was settled, in the LSM's.
    resolution_notes: Option<String>,
    job: DisputedJobView,
    customer: DisputePartyView,
    provider: DisputedProviderView,
    /// The chat of both parties.
    chat_id: Option<ChatId>,
    /// Is the LSM in it?
    has_joined_chat: bool,
    created_at: Timestamp,
    resolved_at: Option<Timestamp>,
}

/// The job that is disputed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DisputedJobView {
    id: JobId,
    /// The service's name.
    service: String,
    category: String,
    status: JobStatus,
    price: Cents,
    scheduled_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
}

/// Who disputes.
#[derive(Serialize, ToSchema)]
struct DisputePartyView {
    name: String,
    /// E.164.
    phone: Option<String>,
}

/// Whose work is disputed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DisputedProviderView {
    id: ProviderId,
    business_name: String,
    owner_name: String,
    /// E.164.
    phone: Option<String>,
}

/// The disputes about the calling LSM's providers, newest first.
///
/// # Errors
/// 400 a parameter breaks a rule.
#[utoipa::path(get, path = "/lsm/disputes", tag = "disputes", security(("access_token" = [])), params(DisputesQuery),
    responses((status = 200, body = Page<DisputeView>), (status = 400, description = "A parameter breaks a rule"), (status = 403, description = "Not a local service manager")))]
async fn list(
    State(pooler): State<Pooler>,
    who: Lsm,
    Query(query): Query<DisputesQuery>,
) -> Result<Json<Page<DisputeView>>> {
    let mut rules = Fields::new();
    let status = match query.status.as_deref() {
        None | Some("") => None,
        Some("open") => Some(DisputeStatus::Open),
        Some("resolved") => Some(DisputeStatus::Resolved),
        Some(_) => {
            rules.refuse("status", "must be open or resolved");
            None
        }
    };
    let page = PageRequest::read(&mut rules, query.page, query.limit);
    rules.finish()?;
    let (rows, total) = queries::list(&pooler, who.user_id, DisputeFilter { id: None, status, page }).await?;
    Ok(Json(Page::new(rows.into_iter().map(Into::into).collect(), total, page)))
}

/// A dispute.
///
/// # Errors
/// 404 no such dispute, or about another LSM's provider.
#[utoipa::path(get, path = "/lsm/disputes/{id}", tag = "disputes", security(("access_token" = [])), params(("id" = DisputeId, Path)),
    responses((status = 200, body = DisputeView), (status = 403, description = "Not a local service manager"), (status = 404, description = "No such dispute, or about another LSM's provider")))]
async fn show(State(pooler): State<Pooler>, who: Lsm, Path(id): Path<DisputeId>) -> Result<Json<DisputeView>> {
    let filter = DisputeFilter { id: Some(id), status: None, page: PageRequest { page: 1, limit: 1 } };
    let (rows, _) = queries::list(&pooler, who.user_id, filter).await?;
    let row = rows.into_iter().next().ok_or(Error::NotFound("dispute"))?;
    Ok(Json(row.into()))
}

/// The chat that was joined.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ChatJoinedView {
    message: &'static str,
    chat_id: ChatId,
}

/// Joins the chat of an open dispute, until it is resolved.
///
/// # Errors
/// 404 no such dispute, or about another LSM's provider. 409 it is resolved, or there is no open chat.
#[utoipa::path(post, path = "/lsm/disputes/{id}/join-chat", tag = "disputes", security(("access_token" = [])), params(("id" = DisputeId, Path)),
    responses((status = 200, body = ChatJoinedView), (status = 403, description = "Not a local service manager"), (status = 404, description = "No such dispute, or about another LSM's provider"), (status = 409, description = "It is resolved, or there is no open chat")))]
async fn join_chat(State(pooler): State<Pooler>, who: Lsm, Path(id): Path<DisputeId>) -> Result<Json<ChatJoinedView>> {
    let mut tx = pooler.write().await?;
    let dispute = queries::lock(&mut tx, id, who.user_id).await?.ok_or(Error::NotFound("dispute"))?;
    dispute.check_open()?;
    let chat_id =
        dispute.chat_id.ok_or_else(|| Error::Conflict("chat_closed", "there is no open chat about this job".into()))?;
    queries::join(&mut tx, chat_id, who.user_id).await?;
    tx.commit().await?;
    Ok(Json(ChatJoinedView { message: "You have joined the chat", chat_id }))
}

/// How a dispute was settled.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ResolveRequest {
    /// At most 4,000 characters; both parties read it.
    #[schema(value_type = String)]
    resolution_notes: Option<String>,
}

/// Resolves a dispute: both parties are told, and the LSM leaves their chat.
///
/// # Errors
/// 400 a field breaks a rule. 404 no such dispute, or about another LSM's provider. 409 it is resolved.
#[utoipa::path(post, path = "/lsm/disputes/{id}/resolve", tag = "disputes", security(("access_token" = [])), params(("id" = DisputeId, Path)), request_body = ResolveRequest,
    responses((status = 200, body = MessageView), (status = 400, description = "A field breaks a rule"), (status = 403, description = "Not a local service manager"), (status = 404, description = "No such dispute, or about another LSM's provider"), (status = 409, description = "It is resolved")))]
async fn resolve(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Lsm,
    Path(id): Path<DisputeId>,
    Json(request): Json<ResolveRequest>,
) -> Result<Json<MessageView>> {
    let mut rules = Fields::new();
    let notes = rules.text("resolutionNotes", request.resolution_notes, LONG_TEXT);
    rules.finish()?;

    let mut tx = pooler.write().await?;
    let dispute = queries::lock(&mut tx, id, who.user_id).await?.ok_or(Error::NotFound("dispute"))?;
    dispute.check_open()?;
    queries::resolve(&mut tx, id, who.user_id, &notes).await?;
    let (job, status) = (dispute.job_id, dispute.job_status);
    insert_event(&mut tx, job, who.user_id, Action::ResolveDispute, status, Some(&notes)).await?;
    let mut told = Vec::with_capacity(2);
    for recipient_id in [dispute.customer_user_id, dispute.provider_user_id] {
        let notification = NewNotification {
            recipient_id,
            kind: NotificationType::Job,
            title: "Dispute resolved".into(),
            message: format!("The dispute about {} is resolved: {notes}", dispute.service),
            metadata: serde_json::json!({"disputeId": id, "jobId": job, "chatId": dispute.chat_id}),
        };
        told.push(notifications::queries::insert(&mut tx, notification).await?);
    }
    if let Some(chat) = dispute.chat_id {
        queries::leave(&mut tx, chat).await?;
    }
    tx.commit().await?;
    notifier.tell(told);
    Ok(Json(MessageView::new("Dispute resolved")))
}

impl From<DisputeRow> for DisputeView {
    fn from(row: DisputeRow) -> Self {
        Self {
            id: row.id,
            status: row.status,
            description: row.description,
            resolution_notes: row.resolution_notes,
            job: DisputedJobView {
                id: row.job_id,
                service: row.service,
                category: row.category,
                status: row.job_status,
                price: Cents(row.price_cents),
                scheduled_at: row.scheduled_at.map(Timestamp),
                completed_at: row.completed_at.map(Timestamp),
            },
            customer: DisputePartyView { name: row.customer_name, phone: row.customer_phone },
            provider: DisputedProviderView {
                id: row.provider_id,
                business_name: row.business_name,
                owner_name: row.owner_name,
                phone: row.provider_phone,
            },
            chat_id: row.chat_id,
            has_joined_chat: row.has_joined_chat,
            created_at: Timestamp(row.created_at),
            resolved_at: row.resolved_at.map(Timestamp),
        }
    }
}
