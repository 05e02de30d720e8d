//! What customers say of jobs that are done and paid.
//!
//! Invariants: a job is reviewed once, by its customer; a provider's rating is the mean of its reviews as they
//! are committed, however many are given at the same time.

mod feedback;
mod http;
mod queries;
mod types;

use utoipa_axum::router::OpenApiRouter;

use crate::state::ApiState;

/// The feature's routes.
#[must_use]
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    http::routes().merge(feedback::routes())
}
