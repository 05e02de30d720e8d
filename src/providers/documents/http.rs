//! `/provider-onboarding/documents`: the provider's side.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::DocumentStatus;
use super::queries;
use crate::auth::Provider;
use crate::error::{Error, Result};
use crate::files::{self, Audience, FileUrls, Files, Purpose, Upload};
use crate::outbox::{Notifier, Outbox};
use crate::providers::ProviderStatus;
use crate::providers::status::{self, Actor, Command};
use crate::state::ApiState;
use crate::types::{DocumentId, Timestamp};
use crate::web::MessageView;
use crate::web::extract::{Json, Path};
use crate::web::fields::Fields;
use doors::Pooler;

/// The longest description, in characters.
const MAX_DESCRIPTION: usize = 500;

/// The most documents of a provider.
const MAX_DOCUMENTS: i64 = 50;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(upload)).routes(routes!(documents)).routes(routes!(delete))
}

/// A document that was handed in.
#[derive(Serialize, ToSchema)]
pub(super) struct UploadedDocumentView {
    pub id: DocumentId,
    pub file_name: String,
    pub description: String,
    /// Always `pending`.
    pub status: DocumentStatus,
    /// In bytes.
    pub file_size: i64,
    pub created_at: Timestamp,
    message: &'static str,
}

/// A form of one document.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only documents the form")]
struct DocumentForm {
    #[schema(value_type = String, format = Binary)]
    file: (),
    /// What it is, in at most 500 characters.
    description: Option<String>,
}

/// Hands in a document: a pdf, png, jpg, doc or docx of at most 10 MB in the field `file`. A provider who was turned down waits
/// for the LSM again.
///
/// # Errors
/// 400 a field breaks a rule. 409 there are too many, or the provider is banned. 413 the file is too large. 503 the
/// storage cannot be reached.
#[utoipa::path(post, path = "/provider-onboarding/documents/upload", tag = "providers", security(("provider" = [])),
    request_body(content = DocumentForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, body = UploadedDocumentView),
        (status = 409, description = "Too many documents"),
        (status = 413, description = "The file is too large"),
        (status = 415, description = "The body is no form with files"),
        (status = 429, description = "Too many uploads at once, or on one day"),
        (status = 503, description = "The storage cannot be reached"),
    ))]
async fn upload(
    State(pooler): State<Pooler>,
    State(files): State<Files>,
    State(notifier): State<Notifier>,
    who: Provider,
    upload: Upload,
) -> Result<(StatusCode, Json<UploadedDocumentView>)> {
    let received = files.receive(&pooler, who.user_id, Purpose::ProviderDocument, upload).await?;
    let (file, mut fields) = received.one()?;
    let mut rules = Fields::new();
    let description = rules.optional_text("description", fields.remove("description"), MAX_DESCRIPTION);
    rules.finish()?;
    let mut tx = pooler.write().await?;
    let provider = status::lock_of_user(&mut tx, who.user_id).await?.ok_or(Error::NotFound("provider"))?;
    if queries::count(&mut tx, provider.id).await? >= MAX_DOCUMENTS {
        let why = format!("{MAX_DOCUMENTS} documents are handed in: delete one first");
        return Err(Error::Conflict("too_many_documents", why));
    }
    if files::attach(&mut tx, who.user_id, Purpose::ProviderDocument, &[file.id]).await? != 1 {
        return Err(Error::Conflict("file_gone", "the same file was just deleted: upload it again".into()));
    }
    let description = description.unwrap_or_default();
    let new = queries::insert(&mut tx, provider.id, &file, &description).await?;
    let outbox = if provider.status == ProviderStatus::Rejected {
        status::change(&mut tx, &provider, Command::HandIn, (Actor::Provider, who.user_id), None).await?
    } else {
        Outbox::default()
    };
    tx.commit().await?;
    notifier.publish(outbox);
    let view = UploadedDocumentView {
        id: new.id,
        file_name: file.name,
        description,
        status: DocumentStatus::Pending,
        file_size: file.bytes,
        created_at: Timestamp(new.created_at),
        message: "Document uploaded successfully",
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// A document of the calling provider.
#[derive(Serialize, ToSchema)]
pub(super) struct OwnDocumentView {
    pub id: DocumentId,
    pub file_name: String,
    pub description: String,
    pub status: DocumentStatus,
    /// Why it was rejected.
    pub reason: Option<String>,
    /// In bytes.
    pub file_size: i64,
    pub file_type: String,
    /// Opens the document for 10 minutes.
    pub url: String,
    pub reviewed_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// Lists the calling provider's documents, at most 50, in the order in which they were handed in.
#[utoipa::path(get, path = "/provider-onboarding/documents", tag = "providers", security(("provider" = [])),
    responses((status = 200, body = Vec<OwnDocumentView>)))]
async fn documents(
    State(pooler): State<Pooler>,
    State(urls): State<FileUrls>,
    who: Provider,
) -> Result<Json<Vec<OwnDocumentView>>> {
    let rows = queries::list(&pooler, who.user_id, MAX_DOCUMENTS).await?;
    let views = rows.into_iter().map(|row| OwnDocumentView {
        id: row.id,
        url: urls.url(row.file_id, &row.file_name, Audience::Document),
        file_name: row.file_name,
        description: row.description,
        status: row.status,
        reason: row.reason,
        file_size: row.file_size,
        file_type: row.file_type,
        reviewed_at: row.reviewed_at.map(Timestamp),
        created_at: Timestamp(row.created_at),
    });
    Ok(Json(views.collect()))
}

/// Deletes one of the calling provider's documents. What an approval rests on stays.
///
/// # Errors
/// 404 no such document, or somebody else's. 409 it is verified, and the provider is approved.
#[utoipa::path(delete, path = "/provider-onboarding/documents/{id}", tag = "providers", security(("provider" = [])),
    params(("id" = DocumentId, Path)),
    responses(
        (status = 200, body = MessageView),
        (status = 404, description = "No such document, or somebody else's"),
        (status = 409, description = "It is verified, and the provider is approved"),
    ))]
async fn delete(State(pooler): State<Pooler>, who: Provider, Path(id): Path<DocumentId>) -> Result<Json<MessageView>> {
    let mut tx = pooler.write().await?;
    let provider = status::lock_of_user(&mut tx, who.user_id).await?.ok_or(Error::NotFound("document"))?;
    let is_approved = matches!(provider.status, ProviderStatus::Active | ProviderStatus::Inactive);
    if is_approved && queries::is_verified(&mut tx, provider.id, id).await? {
        let why = "your approval rests on this document: hand in another one, which your LSM verifies too";
        return Err(Error::Conflict("document_verified", why.into()));
    }
    let file = queries::delete(&mut tx, provider.id, id).await?.ok_or(Error::NotFound("document"))?;
    if !queries::is_shown(&mut tx, file).await? {
        files::delete(&mut tx, &[file]).await?;
    }
    tx.commit().await?;
    Ok(Json(MessageView::new("Document deleted")))
}
