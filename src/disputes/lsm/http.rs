//! `/lsm/disputes`: an LSM resolves the disputes about its providers.

use axum::extract::State;
use chrono::Utc;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, DisputeFilter, LockedDisputeRow};
use crate::auth::Lsm;
use crate::chat::{MessageType, job_chats};
use crate::disputes::DisputeStatus;
use crate::disputes::types::{DisputeChatView, DisputeProgress};
use crate::error::{Error, Result};
use crate::files::FileUrls;
use crate::jobs::{Action, Event, insert_event};
use crate::notifications::{NewNotification, NotificationType};
use crate::outbox::{Notifier, Outbox};
use crate::state::ApiState;
use crate::types::{Cents, ChatId, DisputeId, JobId, JobStatus, MessageId, Party, ProviderId, Side, Timestamp};
use crate::web::MessageView;
use crate::web::extract::{Json, Path, Query};
use crate::web::fields::{Fields, LONG_TEXT};
use crate::web::page::{Page, PageRequest};
use doors::Pooler;

/// The most messages in the details of a dispute.
const MAX_MESSAGES: i64 = 100;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(join_chat)).routes(routes!(resolve))
}

/// A selection of the disputes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct DisputesQuery {
    /// `pending` (all that are not resolved), `under_review` (those of them whose chat the LSM has joined) or `resolved`;
    /// all by default.
    status: Option<String>,
    /// The number of the page, from 1.
    page: Option<i64>,
    /// 1 to 100; 20 by default.
    limit: Option<i64>,
}

/// A dispute about a job of one of the LSM's providers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DisputeView {
    pub id: DisputeId,
    pub status: DisputeProgress,
    /// Always the customer.
    pub raised_by: Party,
    /// What went wrong, in the customer's words.
    pub description: String,
    /// The resolution, in the LSM's words.
    pub resolution_notes: Option<String>,
    pub created_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
}

/// A dispute in the list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DisputeListedView {
    #[serde(flatten)]
    pub dispute: DisputeView,
    pub job: DisputedJobView,
    pub customer: DisputePartyView,
    pub provider: DisputedProviderView,
    /// The chat of both parties; null if there is none.
    pub chat_status: Option<DisputeChatView>,
}

/// A dispute in full.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DisputeDetailsView {
    dispute: DisputeView,
    job: DisputedJobView,
    customer: DisputePartyView,
    provider: DisputedProviderView,
    /// The chat of both parties; null if there is none.
    chat_status: Option<DisputeChatView>,
    /// The last 100 messages of the chat, oldest first; of a resolved dispute, those from before.
    chat_history: Vec<DisputeMessageView>,
}

/// A message of the chat of both parties.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DisputeMessageView {
    pub id: MessageId,
    pub sender_type: Side,
    /// First and last name.
    pub sender_name: String,
    pub message: String,
    pub message_type: MessageType,
    pub created_at: Timestamp,
}

/// The job that is disputed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DisputedJobView {
    pub id: JobId,
    /// The service's name.
    pub service: String,
    pub category: String,
    pub status: JobStatus,
    pub price: Cents,
    pub scheduled_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
}

/// The customer who disputes.
#[derive(Serialize, ToSchema)]
pub(super) struct DisputePartyView {
    pub name: String,
    pub email: String,
    /// E.164; empty without one.
    pub phone: String,
}

/// The provider whose work is disputed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DisputedProviderView {
    pub id: ProviderId,
    pub business_name: String,
    pub owner_name: String,
    pub email: String,
    /// E.164; empty without one.
    pub phone: String,
}

/// Lists the disputes about the calling LSM's providers, newest first.
///
/// # Errors
/// 400 a parameter breaks a rule.
#[utoipa::path(get, path = "/lsm/disputes", tag = "disputes", security(("local_service_manager" = [])),
    params(DisputesQuery),
    responses((status = 200, body = Page<DisputeListedView>)))]
async fn list(
    State(pooler): State<Pooler>,
    who: Lsm,
    Query(query): Query<DisputesQuery>,
) -> Result<Json<Page<DisputeListedView>>> {
    let mut rules = Fields::new();
    let filter = match query.status.as_deref() {
        None | Some("") => None,
        // Once joined it stays in the list of those that wait, because the web client has no list of those under review.
        Some("pending" | "open") => Some(DisputeFilter::Status(DisputeStatus::Open)),
        Some("under_review") => Some(DisputeFilter::UnderReview),
        Some("resolved") => Some(DisputeFilter::Status(DisputeStatus::Resolved)),
        Some(_) => {
            rules.refuse("status", "must be pending, under_review or resolved");
            None
        }
    };
    let page = PageRequest::read(&mut rules, query.page, query.limit);
    rules.finish()?;
    let (disputes, total) = queries::list(&pooler, who.user_id, filter, page).await?;
    Ok(Json(Page::new(disputes, total, page)))
}

/// Returns one dispute.
///
/// # Errors
/// 404 no such dispute, or about another LSM's provider.
#[utoipa::path(get, path = "/lsm/disputes/{id}", tag = "disputes", security(("local_service_manager" = [])),
    params(("id" = DisputeId, Path)),
    responses(
        (status = 200, body = DisputeDetailsView),
        (status = 404, description = "No such dispute, or about another LSM's provider"),
    ))]
async fn show(
    State(pooler): State<Pooler>,
    State(urls): State<FileUrls>,
    who: Lsm,
    Path(id): Path<DisputeId>,
) -> Result<Json<DisputeDetailsView>> {
    let first = PageRequest { page: 1, limit: 1 };
    let (disputes, _) = queries::list(&pooler, who.user_id, Some(DisputeFilter::Id(id)), first).await?;
    let DisputeListedView { dispute, job, customer, provider, chat_status } =
        disputes.into_iter().next().ok_or(Error::NotFound("dispute"))?;
    let chat_history = match &chat_status {
        Some(chat) => queries::list_messages(&pooler, &urls, chat.chat_id, id, MAX_MESSAGES).await?,
        None => Vec::new(),
    };
    Ok(Json(DisputeDetailsView { dispute, job, customer, provider, chat_status, chat_history }))
}

/// The chat that was joined.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ChatJoinedView {
    message: &'static str,
    chat_id: ChatId,
}

/// Joins the chat of an open dispute. The membership ends when it is resolved.
///
/// # Errors
/// 404 no such dispute, or about another LSM's provider. 409 it is resolved, or there is no open chat.
#[utoipa::path(post, path = "/lsm/disputes/{id}/join-chat", tag = "disputes", security(("local_service_manager" = [])),
    params(("id" = DisputeId, Path)),
    responses(
        (status = 200, body = ChatJoinedView),
        (status = 404, description = "No such dispute, or about another LSM's provider"),
        (status = 409, description = "It is resolved, or there is no open chat"),
    ))]
async fn join_chat(State(pooler): State<Pooler>, who: Lsm, Path(id): Path<DisputeId>) -> Result<Json<ChatJoinedView>> {
    let mut tx = pooler.write().await?;
    let dispute = queries::lock(&mut tx, id, who.user_id).await?.ok_or(Error::NotFound("dispute"))?;
    dispute.check_open()?;
    let chat_id =
        dispute.chat_id.ok_or_else(|| Error::Conflict("chat_closed", "there is no open chat about this job".into()))?;
    job_chats::add_lsm(&mut tx, chat_id, who.user_id).await?;
    tx.commit().await?;
    Ok(Json(ChatJoinedView { message: "You have joined the chat", chat_id }))
}

/// The resolution of a dispute.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ResolveRequest {
    /// At most 4,000 characters; both parties read it.
    #[schema(value_type = String)]
    resolution_notes: Option<String>,
}

/// Resolves a dispute: notifies both parties, and ends the membership of the LSM in their chat.
///
/// # Errors
/// 400 a field breaks a rule. 404 no such dispute, or about another LSM's provider. 409 it is resolved.
#[utoipa::path(post, path = "/lsm/disputes/{id}/resolve", tag = "disputes", security(("local_service_manager" = [])),
    params(("id" = DisputeId, Path)), request_body = ResolveRequest,
    responses(
        (status = 200, body = MessageView),
        (status = 404, description = "No such dispute, or about another LSM's provider"),
        (status = 409, description = "It is resolved"),
    ))]
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
    let event = Event {
        job_id: dispute.job_id,
        actor_id: Some(who.user_id),
        action: Action::ResolveDispute,
        reason: Some(&notes),
        at: Utc::now(),
    };
    insert_event(&mut tx, dispute.job_status, &event).await?;
    let mut outbox = Outbox::default();
    outbox.notify(&mut tx, notifications_of(id, &dispute, &notes)).await?;
    if let Some(chat) = dispute.chat_id {
        job_chats::remove_lsms(&mut tx, chat).await?;
    }
    tx.commit().await?;
    notifier.publish(outbox);
    Ok(Json(MessageView::new("Dispute resolved")))
}

/// The notifications of both parties.
fn notifications_of(id: DisputeId, dispute: &LockedDisputeRow, notes: &str) -> [NewNotification; 2] {
    [dispute.customer_user_id, dispute.provider_user_id].map(|recipient_id| NewNotification {
        recipient_id,
        kind: NotificationType::Job,
        title: "Dispute resolved".into(),
        message: format!("The dispute about {} is resolved: {notes}", dispute.service),
        metadata: serde_json::json!({"disputeId": id, "jobId": dispute.job_id, "chatId": dispute.chat_id}),
    })
}
