//! The calling customer: profile, dashboard and jobs.
//!
//! Invariant: a customer sees and changes only what is found by the caller's own user id.

mod dashboard;
mod dashboard_queries;
mod http;
mod jobs;
mod jobs_queries;
mod queries;

use utoipa_axum::router::OpenApiRouter;

use crate::state::ApiState;

/// The feature's routes.
#[must_use]
pub fn routes() -> OpenApiRouter<ApiState> {
    http::routes().merge(dashboard::routes()).merge(jobs::routes())
}
