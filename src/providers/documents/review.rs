//! `/lsm/providers/{id}/documents/{documentId}` and the same for admins: who reviews documents.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::DocumentStatus;
use super::queries::{self, DocumentRow, LockedRow};
use super::types::Finding;
use crate::auth::{Admin, Lsm};
use crate::error::{Error, Result};
use crate::files::{Audience, FileUrls};
use crate::notifications::{NewNotification, NotificationType};
use crate::outbox::{Notifier, Outbox};
use crate::state::ApiState;
use crate::types::{DocumentId, ProviderId, Timestamp};
use crate::web::extract::{Json, Path};
use crate::web::fields::Fields;
use doors::Pooler;

/// The longest reason, in characters.
const MAX_REASON: usize = 500;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(show_to_lsm, review)).routes(routes!(show_to_admin))
}

/// A document, as those see it who review it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReviewedDocumentView {
    id: DocumentId,
    file_name: String,
    file_type: String,
    /// In bytes.
    file_size: i64,
    description: String,
    status: DocumentStatus,
    /// Why it was rejected.
    reason: Option<String>,
    /// A URL that opens the document for 10 minutes, without any header; it may be framed.
    file_data: String,
    created_at: Timestamp,
}

impl ReviewedDocumentView {
    fn new(row: DocumentRow, urls: &FileUrls) -> Self {
        Self {
            id: row.id,
            file_data: urls.url(row.file_id, &row.file_name, Audience::Document),
            file_name: row.file_name,
            file_type: row.file_type,
            file_size: row.file_size,
            description: row.description,
            status: row.status,
            reason: row.reason,
            created_at: Timestamp(row.created_at),
        }
    }
}

/// Returns a document of one of the calling LSM's providers.
///
/// # Errors
/// 404 no such document, or of another LSM's provider.
#[utoipa::path(get, path = "/lsm/providers/{id}/documents/{documentId}", tag = "lsm",
    security(("local_service_manager" = [])),
    params(("id" = ProviderId, Path), ("documentId" = DocumentId, Path)),
    responses(
        (status = 200, body = ReviewedDocumentView),
        (status = 404, description = "No such document, or of another LSM's provider"),
    ))]
async fn show_to_lsm(
    State(pooler): State<Pooler>,
    State(urls): State<FileUrls>,
    who: Lsm,
    Path((provider, id)): Path<(ProviderId, DocumentId)>,
) -> Result<Json<ReviewedDocumentView>> {
    let row = queries::find(&pooler, provider, id, Some(who.user_id)).await?.ok_or(Error::NotFound("document"))?;
    Ok(Json(ReviewedDocumentView::new(row, &urls)))
}

/// Returns a document of any provider.
///
/// # Errors
/// 404 no such document.
#[utoipa::path(get, path = "/admin/providers/{id}/documents/{documentId}", tag = "admin", security(("admin" = [])),
    params(("id" = ProviderId, Path), ("documentId" = DocumentId, Path)),
    responses((status = 200, body = ReviewedDocumentView), (status = 404, description = "No such document")))]
async fn show_to_admin(
    State(pooler): State<Pooler>,
    State(urls): State<FileUrls>,
    _who: Admin,
    Path((provider, id)): Path<(ProviderId, DocumentId)>,
) -> Result<Json<ReviewedDocumentView>> {
    let row = queries::find(&pooler, provider, id, None).await?.ok_or(Error::NotFound("document"))?;
    Ok(Json(ReviewedDocumentView::new(row, &urls)))
}

/// What the LSM finds of a document.
#[derive(Deserialize, ToSchema)]
#[schema(as = DocumentReviewRequest)]
struct ReviewRequest {
    /// `verify` or `reject`.
    #[schema(value_type = String)]
    action: Option<String>,
    /// Why it is rejected: for the provider.
    reason: Option<String>,
}

impl ReviewRequest {
    fn check(self) -> Result<Finding> {
        let mut rules = Fields::new();
        let finding = match self.action.as_deref() {
            Some("verify") => Finding::Verified,
            Some("reject") => Finding::Rejected { reason: rules.text("reason", self.reason, MAX_REASON) },
            _ => {
                rules.refuse("action", "must be verify or reject");
                Finding::Verified
            }
        };
        rules.finish()?;
        Ok(finding)
    }
}

/// A document that was reviewed.
#[derive(Serialize, ToSchema)]
#[schema(as = DocumentFindingView)]
struct FindingView {
    id: DocumentId,
    status: DocumentStatus,
    message: &'static str,
}

/// Verifies or rejects a document of one of the calling LSM's providers, who is notified.
///
/// # Errors
/// 400 a field breaks a rule. 404 no such document, or of another LSM's provider. 409 it was reviewed.
#[utoipa::path(post, path = "/lsm/providers/{id}/documents/{documentId}", tag = "lsm",
    security(("local_service_manager" = [])),
    params(("id" = ProviderId, Path), ("documentId" = DocumentId, Path)), request_body = ReviewRequest,
    responses(
        (status = 200, body = FindingView),
        (status = 404, description = "No such document, or of another LSM's provider"),
        (status = 409, description = "It was reviewed"),
    ))]
async fn review(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Lsm,
    Path((provider, id)): Path<(ProviderId, DocumentId)>,
    Json(request): Json<ReviewRequest>,
) -> Result<Json<FindingView>> {
    let finding = request.check()?;
    let mut tx = pooler.write().await?;
    let document = queries::lock(&mut tx, provider, id, who.user_id).await?.ok_or(Error::NotFound("document"))?;
    document.status.check_pending()?;
    queries::set_finding(&mut tx, id, &finding, who.user_id).await?;
    let mut outbox = Outbox::default();
    outbox.notify(&mut tx, [reviewed(&document, id, &finding)]).await?;
    tx.commit().await?;
    notifier.publish(outbox);
    let message = match finding {
        Finding::Verified => "Document verified",
        Finding::Rejected { .. } => "Document rejected",
    };
    Ok(Json(FindingView { id, status: finding.status(), message }))
}

fn reviewed(document: &LockedRow, id: DocumentId, finding: &Finding) -> NewNotification {
    let name = &document.file_name;
    let (title, message) = match finding {
        Finding::Verified => ("Document verified", format!("Your document {name} was verified")),
        Finding::Rejected { reason } => ("Document rejected", format!("Your document {name} was rejected: {reason}")),
    };
    NewNotification {
        recipient_id: document.provider_user_id,
        kind: NotificationType::System,
        title: title.into(),
        message,
        metadata: serde_json::json!({"documentId": id}),
    }
}
