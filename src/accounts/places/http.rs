//! `GET /utils/zip/{zip}`.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use crate::error::{Result, invalid};
use crate::state::ApiState;
use crate::web::extract::{Json, Path};
use doors::Pooler;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(places))
}

/// A city.
#[derive(Serialize, ToSchema)]
pub(super) struct ZipCodePlaceView {
    pub city: String,
    /// Two letters.
    pub state: String,
}

/// The cities of a ZIP code, the main one first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PlacesView {
    zip_code: String,
    /// Empty if nothing is known.
    places: Vec<ZipCodePlaceView>,
}

/// Returns the cities of a ZIP code.
///
/// # Errors
/// 400 not five digits.
#[utoipa::path(get, path = "/utils/zip/{zip}", tag = "catalogue", params(("zip" = String, Path, description = "Five digits")),
    responses((status = 200, body = PlacesView), (status = 400, description = "Not five digits")))]
async fn places(State(pooler): State<Pooler>, Path(zip): Path<String>) -> Result<Json<PlacesView>> {
    if zip.len() != 5 || !zip.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid("zip", "must be a US ZIP code of five digits"));
    }
    let places = queries::list(&pooler, &zip).await?;
    Ok(Json(PlacesView { zip_code: zip, places }))
}
