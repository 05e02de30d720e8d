//! `/lsm/onboarding/pending`.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use crate::auth::Lsm;
use crate::error::Result;
use crate::providers::DocumentsView;
use crate::state::ApiState;
use crate::types::{ProviderId, Timestamp};
use crate::web::extract::Json;
use doors::Pooler;

pub(in crate::lsm) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(pending))
}

/// A provider who waits for the LSM.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PendingProviderView {
    pub id: ProviderId,
    pub business_name: String,
    pub user: PendingUserView,
    pub documents: DocumentsView,
    /// Whether the provider can be approved: there are documents, and all are verified, unless the settings ask for none.
    pub ready_for_activation: bool,
    /// ZIP codes, the primary one first.
    pub service_areas: Vec<String>,
    /// The services that the provider offers, or asks for where the catalogue lacks them.
    pub requested_services: Vec<String>,
    /// Years; 0 if the provider does not say.
    pub experience: i32,
    pub experience_level: Option<String>,
    pub description: Option<String>,
    pub location: Option<String>,
    pub website_url: Option<String>,
    pub created_at: Timestamp,
}

/// The provider's user.
#[derive(Serialize, ToSchema)]
pub(super) struct PendingUserView {
    /// First and last name.
    pub name: String,
    pub email: String,
    /// E.164; empty if there is none.
    pub phone: String,
}

/// Lists the providers who wait for the calling LSM, the oldest first, at most 100.
#[utoipa::path(get, path = "/lsm/onboarding/pending", tag = "lsm", security(("local_service_manager" = [])),
    responses((status = 200, body = Vec<PendingProviderView>)))]
async fn pending(State(pooler): State<Pooler>, who: Lsm) -> Result<Json<Vec<PendingProviderView>>> {
    Ok(Json(queries::list(&pooler, who.user_id).await?))
}
