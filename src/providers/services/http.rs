//! `/provider/add-service`.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use crate::auth::Provider;
use crate::error::{Error, Result, invalid};
use crate::state::ApiState;
use crate::types::ServiceId;
use crate::web::extract::Json;
use doors::Pooler;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(add_service))
}

/// The service to offer.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AddServiceRequest {
    #[schema(value_type = ServiceId)]
    service_id: Option<ServiceId>,
}

/// A service that the provider offers now.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AddedServiceView {
    message: &'static str,
    service_id: ServiceId,
    service_name: String,
    category: String,
}

/// A service that a provider offers.
#[derive(Serialize, ToSchema)]
pub(crate) struct OfferedServiceView {
    pub id: ServiceId,
    pub name: String,
    pub category: String,
}

/// Offers a service of the catalogue.
///
/// # Errors
/// 400 not a service's id. 404 no such service. 409 it is offered already.
#[utoipa::path(post, path = "/provider/add-service", tag = "providers", security(("provider" = [])),
    request_body = AddServiceRequest,
    responses(
        (status = 201, body = AddedServiceView),
        (status = 400, description = "Not a service's id"),
        (status = 404, description = "No such service"),
        (status = 409, description = "It is offered already"),
    ))]
async fn add_service(
    State(pooler): State<Pooler>,
    who: Provider,
    Json(request): Json<AddServiceRequest>,
) -> Result<(StatusCode, Json<AddedServiceView>)> {
    let service = request.service_id.ok_or_else(|| invalid("serviceId", "must be a service's id"))?;
    let mut tx = pooler.write().await?;
    let linked = queries::insert(&mut tx, who.user_id, service).await?.ok_or(Error::NotFound("service"))?;
    if !linked.is_new {
        return Err(Error::Conflict("already_offered", format!("you offer {} already", linked.name)));
    }
    tx.commit().await?;
    let view = AddedServiceView {
        message: "Service added successfully",
        service_id: linked.id,
        service_name: linked.name,
        category: linked.category,
    };
    Ok((StatusCode::CREATED, Json(view)))
}
