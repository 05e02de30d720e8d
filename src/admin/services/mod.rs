//! The catalogue: services one by one, and imported by the thousand.

mod http;
mod import;
mod queries;

use utoipa_axum::router::OpenApiRouter;

use crate::state::ApiState;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    http::routes().merge(import::routes())
}
