//! Disputes about completed jobs, and how LSMs resolve them.
//!
//! Invariants: at most one dispute per job is open; an LSM sees the disputes about its own providers only, and is a member
//! of a chat from joining it until the dispute is resolved.

mod http;
mod lsm;
mod queries;
mod types;

use utoipa_axum::router::OpenApiRouter;

use crate::state::ApiState;

pub(crate) use types::{DisputeProgress, DisputeStatus};

/// The feature's routes.
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    http::routes().merge(lsm::routes())
}
