//! `/chat/upload-files`: attachments, uploaded before the message that shows them.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::files::{Audience, Files, FilesForm, Purpose, Upload};
use crate::state::ApiState;
use crate::web::extract::Json;
use doors::Pooler;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(upload))
}

/// Attachments that were uploaded.
#[derive(Serialize, ToSchema)]
struct AttachmentsView {
    /// In the order of the files: each is the message of a document, or one of a message of images.
    urls: Vec<String>,
}

/// Uploads attachments: at most 10 in the field `files`, of 10 MB each: pdf, png, jpg, gif, webp, doc, docx, xls, xlsx, txt.
/// Pictures are written anew without metadata, at most 2,048 pixels on a side. Send the URLs within 12 hours.
///
/// # Errors
/// 400 a file breaks a rule. 403 the caller is in no chat. 413 a file is too large. 503 the storage cannot be reached.
#[utoipa::path(post, path = "/chat/upload-files", tag = "chat", security(("access_token" = [])),
    request_body(content = FilesForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, body = AttachmentsView),
        (status = 403, description = "The caller is in no chat"),
        (status = 413, description = "A file is too large"),
        (status = 415, description = "The body is no form with files"),
        (status = 429, description = "Too many uploads at once, or on one day"),
        (status = 503, description = "The storage cannot be reached"),
    ))]
async fn upload(
    State(pooler): State<Pooler>,
    State(files): State<Files>,
    who: Caller,
    upload: Upload,
) -> Result<(StatusCode, Json<AttachmentsView>)> {
    if !queries::is_member(&pooler, who.user_id).await? {
        return Err(Error::Forbidden("no_chat", "files can be uploaded by members of a chat only"));
    }
    let received = files.receive(&pooler, who.user_id, Purpose::ChatAttachment, upload).await?;
    let audience = Audience::Uploader(who.user_id);
    let urls = received.files.iter().map(|file| files.urls.url(file.id, &file.name, audience)).collect();
    Ok((StatusCode::CREATED, Json(AttachmentsView { urls })))
}
