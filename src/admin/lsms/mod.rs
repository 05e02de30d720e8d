//! LSMs: appointed, changed, replaced, removed.
//!
//! Invariants: a region, or an area of it, has one active LSM. An LSM with active providers is not removed but replaced:
//! every provider has an LSM.

mod http;
mod queries;
mod replace;

use utoipa_axum::router::OpenApiRouter;

use crate::state::ApiState;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    http::routes().merge(replace::routes())
}
