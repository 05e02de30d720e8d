//! `/jobs/images/upload`.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Customer;
use crate::error::Result;
use crate::files::{Audience, Files, ImagesForm, Purpose, Upload};
use crate::state::ApiState;
use crate::web::extract::Json;
use doors::Pooler;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(upload))
}

/// Pictures that were uploaded.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct JobImagesView {
    /// In the order of the files, for `images` of POST /jobs/create.
    image_urls: Vec<String>,
}

/// Uploads pictures for a booking: at most 10 in the field `images`, of 5 MB each: jpg, png, gif, webp. They are written anew
/// without metadata, at most 2,048 pixels on a side; of an animation the first frame stays. Book within 12 hours.
///
/// # Errors
/// 400 a file breaks a rule. 413 a file is too large. 503 the storage cannot be reached.
#[utoipa::path(post, path = "/jobs/images/upload", tag = "jobs", security(("customer" = [])),
    request_body(content = ImagesForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, body = JobImagesView),
        (status = 413, description = "A file is too large"),
        (status = 415, description = "The body is no form with files"),
        (status = 429, description = "Too many uploads at once, or on one day"),
        (status = 503, description = "The storage cannot be reached"),
    ))]
async fn upload(
    State(pooler): State<Pooler>,
    State(files): State<Files>,
    who: Customer,
    upload: Upload,
) -> Result<(StatusCode, Json<JobImagesView>)> {
    let received = files.receive(&pooler, who.user_id, Purpose::JobImage, upload).await?;
    let audience = Audience::Uploader(who.user_id);
    let image_urls = received.files.iter().map(|file| files.urls.url(file.id, &file.name, audience)).collect();
    Ok((StatusCode::CREATED, Json(JobImagesView { image_urls })))
}
