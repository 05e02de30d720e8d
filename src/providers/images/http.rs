//! `/provider/images`.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::queries::{self, Slot};
use crate::auth::Provider;
use crate::error::{Error, Result, invalid};
use crate::files::{self, Audience, FileForm, FileUrls, Files, Purpose, Stored, Upload};
use crate::providers::types::{GalleryImageRow, GalleryImageView};
use crate::state::ApiState;
use crate::types::UserId;
use crate::web::extract::{Json, Path};
use crate::web::fields::{Fields, SHORT_TEXT};
use doors::{Pooler, Tx};

/// The most pictures of a gallery.
const MAX_GALLERY: i64 = 50;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(images))
        .routes(routes!(upload_logo))
        .routes(routes!(upload_banner))
        .routes(routes!(upload_gallery_image))
        .routes(routes!(reorder))
        .routes(routes!(delete_gallery_image))
}

/// The pictures of the business.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct BusinessImagesView {
    logo_url: Option<String>,
    banner_url: Option<String>,
    gallery_images: Vec<GalleryImageView>,
}

/// The calling provider's pictures.
///
/// # Errors
/// 404 the account is gone.
#[utoipa::path(get, path = "/provider/images", tag = "providers", security(("provider" = [])),
    responses((status = 200, body = BusinessImagesView)))]
async fn images(
    State(pooler): State<Pooler>,
    State(urls): State<FileUrls>,
    who: Provider,
) -> Result<Json<BusinessImagesView>> {
    let row = queries::find(&pooler, who.user_id).await?.ok_or(Error::NotFound("provider"))?;
    Ok(Json(BusinessImagesView {
        logo_url: urls.public(row.logo_file_id, row.logo_file_name),
        banner_url: urls.public(row.banner_file_id, row.banner_file_name),
        gallery_images: GalleryImageView::list(row.gallery.0, Vec::new(), &urls),
    }))
}

/// The new logo.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LogoView {
    logo_url: String,
}

/// Replaces the calling provider's logo: a jpg, png or webp of at most 2 MB in the field `file`.
///
/// # Errors
/// 400 the file breaks a rule. 413 it is too large. 503 the storage cannot be reached.
#[utoipa::path(post, path = "/provider/images/logo", tag = "providers", security(("provider" = [])),
    request_body(content = FileForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, body = LogoView),
        (status = 413, description = "The file is too large"),
        (status = 415, description = "The body is no form with files"),
        (status = 429, description = "Too many uploads at once, or on one day"),
        (status = 503, description = "The storage cannot be reached"),
    ))]
async fn upload_logo(
    State(pooler): State<Pooler>,
    State(files): State<Files>,
    who: Provider,
    upload: Upload,
) -> Result<(StatusCode, Json<LogoView>)> {
    let logo_url = replace(&pooler, &files, who, Slot::Logo, upload).await?;
    Ok((StatusCode::CREATED, Json(LogoView { logo_url })))
}

/// The new banner.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct BannerView {
    banner_url: String,
}

/// Replaces the calling provider's banner: a jpg, png or webp of at most 3 MB in the field `file`.
///
/// # Errors
/// 400 the file breaks a rule. 413 it is too large. 503 the storage cannot be reached.
#[utoipa::path(post, path = "/provider/images/banner", tag = "providers", security(("provider" = [])),
    request_body(content = FileForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, body = BannerView),
        (status = 413, description = "The file is too large"),
        (status = 415, description = "The body is no form with files"),
        (status = 429, description = "Too many uploads at once, or on one day"),
        (status = 503, description = "The storage cannot be reached"),
    ))]
async fn upload_banner(
    State(pooler): State<Pooler>,
    State(files): State<Files>,
    who: Provider,
    upload: Upload,
) -> Result<(StatusCode, Json<BannerView>)> {
    let banner_url = replace(&pooler, &files, who, Slot::Banner, upload).await?;
    Ok((StatusCode::CREATED, Json(BannerView { banner_url })))
}

async fn replace(pooler: &Pooler, files: &Files, who: Provider, slot: Slot, upload: Upload) -> Result<String> {
    let (file, _) = files.receive(pooler, who.user_id, slot.purpose(), upload).await?.one()?;
    let mut tx = pooler.write().await?;
    let provider = queries::lock(&mut tx, who.user_id).await?.ok_or(Error::NotFound("provider"))?;
    attach(&mut tx, who.user_id, slot.purpose(), &file).await?;
    let former = queries::set(&mut tx, provider, slot, &file).await?;
    if let Some(former) = former.filter(|former| *former != file.id) {
        files::delete(&mut tx, &[former]).await?;
    }
    tx.commit().await?;
    Ok(files.urls.url(file.id, &file.name, Audience::Everybody))
}

async fn attach(tx: &mut Tx<Pooler>, who: UserId, purpose: Purpose, file: &Stored) -> Result<()> {
    // It was deleted since: the same bytes were there before, and went in this moment.
    let gone = || Error::Conflict("file_gone", "the same file was just deleted: upload it again".into());
    if files::attach(tx, who, purpose, &[file.id]).await? == 1 { Ok(()) } else { Err(gone()) }
}

/// A new picture of the gallery.
#[derive(Serialize, ToSchema)]
struct GalleryUploadView {
    image: GalleryImageView,
}

/// A form of one picture.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only documents the form")]
struct GalleryForm {
    #[schema(value_type = String, format = Binary)]
    file: (),
    /// At most 200 characters.
    caption: Option<String>,
}

/// Adds a picture at the end of the calling provider's gallery: a jpg, png or webp of at most 5 MB in the field `file`.
///
/// # Errors
/// 400 a field breaks a rule. 409 the gallery is full. 413 the file is too large. 503 the storage cannot be reached.
#[utoipa::path(post, path = "/provider/images/gallery", tag = "providers", security(("provider" = [])),
    request_body(content = GalleryForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, body = GalleryUploadView),
        (status = 409, description = "The gallery is full"),
        (status = 413, description = "The file is too large"),
        (status = 415, description = "The body is no form with files"),
        (status = 429, description = "Too many uploads at once, or on one day"),
        (status = 503, description = "The storage cannot be reached"),
    ))]
async fn upload_gallery_image(
    State(pooler): State<Pooler>,
    State(files): State<Files>,
    who: Provider,
    upload: Upload,
) -> Result<(StatusCode, Json<GalleryUploadView>)> {
    let (file, mut fields) = files.receive(&pooler, who.user_id, Purpose::GalleryImage, upload).await?.one()?;
    let mut rules = Fields::new();
    let caption = rules.optional_text("caption", fields.remove("caption"), SHORT_TEXT);
    rules.finish()?;
    let mut tx = pooler.write().await?;
    let provider = queries::lock(&mut tx, who.user_id).await?.ok_or(Error::NotFound("provider"))?;
    if queries::count_gallery(&mut tx, provider).await? >= MAX_GALLERY {
        let why = format!("the gallery holds {MAX_GALLERY} pictures: delete one first");
        return Err(Error::Conflict("gallery_full", why));
    }
    attach(&mut tx, who.user_id, Purpose::GalleryImage, &file).await?;
    let new = queries::insert_gallery_image(&mut tx, provider, &file, caption.as_deref()).await?;
    tx.commit().await?;
    let row = GalleryImageRow { id: new.id, file_id: file.id.0, file_name: file.name, caption };
    let order = usize::try_from(new.position).unwrap_or_default();
    let image = GalleryImageView::new(row, order, &files.urls);
    Ok((StatusCode::CREATED, Json(GalleryUploadView { image })))
}

/// The order of the gallery.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReorderRequest {
    /// The ids of all pictures, each once.
    #[schema(value_type = Vec<String>)]
    image_ids: Option<Vec<String>>,
}

/// A change that was made.
#[derive(Serialize, ToSchema)]
struct SuccessView {
    success: bool,
}

/// Puts the calling provider's gallery in another order.
///
/// # Errors
/// 400 the ids are not those of all pictures, each once. 404 the account is gone.
#[utoipa::path(put, path = "/provider/images/gallery/reorder", tag = "providers", security(("provider" = [])),
    request_body = ReorderRequest,
    responses((status = 200, body = SuccessView)))]
async fn reorder(
    State(pooler): State<Pooler>,
    who: Provider,
    Json(request): Json<ReorderRequest>,
) -> Result<Json<SuccessView>> {
    let rule = || invalid("imageIds", "must hold the id of each of your pictures once");
    let given = request.image_ids.ok_or_else(rule)?;
    let ids: Vec<Uuid> = given.iter().map(|id| id.parse()).collect::<Result<_, _>>().map_err(|_| rule())?;
    let mut tx = pooler.write().await?;
    let provider = queries::lock(&mut tx, who.user_id).await?.ok_or(Error::NotFound("provider"))?;
    let mut present = queries::list_gallery_ids(&mut tx, provider).await?;
    let mut wanted = ids.clone();
    present.sort_unstable();
    wanted.sort_unstable();
    if present != wanted {
        return Err(rule());
    }
    queries::set_order(&mut tx, provider, &ids).await?;
    tx.commit().await?;
    Ok(Json(SuccessView { success: true }))
}

/// Deletes a picture of the calling provider's gallery.
///
/// # Errors
/// 404 no such picture, or somebody else's.
#[utoipa::path(delete, path = "/provider/images/gallery/{id}", tag = "providers", security(("provider" = [])),
    params(("id" = Uuid, Path)),
    responses((status = 200, body = SuccessView), (status = 404, description = "No such picture, or somebody else's")))]
async fn delete_gallery_image(
    State(pooler): State<Pooler>,
    who: Provider,
    Path(id): Path<Uuid>,
) -> Result<Json<SuccessView>> {
    let mut tx = pooler.write().await?;
    let provider = queries::lock(&mut tx, who.user_id).await?.ok_or(Error::NotFound("picture"))?;
    let file = queries::delete_gallery_image(&mut tx, provider, id).await?.ok_or(Error::NotFound("picture"))?;
    if !queries::is_in_gallery(&mut tx, file).await? {
        files::delete(&mut tx, &[file]).await?;
    }
    tx.commit().await?;
    Ok(Json(SuccessView { success: true }))
}
