//! Documents of providers: handed in by the provider, verified or rejected by its LSM, seen by admins.
//!
//! Invariant: a document is reviewed once. Nobody but its provider, the provider's LSM and admins learns that it exists.

mod http;
mod queries;
mod review;
mod types;

use utoipa_axum::router::OpenApiRouter;

use crate::state::ApiState;

pub(crate) use types::DocumentStatus;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    http::routes().merge(review::routes())
}
