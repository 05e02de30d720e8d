//! `/admin/reports/regions`.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use crate::auth::Admin;
use crate::error::Result;
use crate::state::ApiState;
use crate::types::Cents;
use crate::web::extract::Json;
use doors::Pooler;

pub(in crate::admin) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(regions))
}

/// The figures of a region.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RegionView {
    /// In one of its spellings.
    pub region: String,
    /// In whatever status.
    pub providers: i64,
    pub active_providers: i64,
    pub customers: i64,
    /// Active ones.
    pub lsms: i64,
    pub paid_jobs: i64,
    /// What the region's providers have received.
    pub revenue: Cents,
    /// The mean of the rated providers; 0 without any.
    pub average_rating: f64,
}

/// The report.
#[derive(Serialize, ToSchema)]
struct RegionsView {
    /// At most 500, those with the highest revenue first.
    data: Vec<RegionView>,
}

/// Returns the figures of every region.
#[utoipa::path(get, path = "/admin/reports/regions", tag = "admin", security(("admin" = [])),
    responses((status = 200, body = RegionsView)))]
async fn regions(State(pooler): State<Pooler>, _who: Admin) -> Result<Json<RegionsView>> {
    Ok(Json(RegionsView { data: queries::regions(&pooler).await? }))
}
