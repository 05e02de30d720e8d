//! The calling customer: profile, dashboard and list of jobs.
//!
//! Invariant: a customer sees and changes only rows found by the caller's own user id.

mod dashboard;
mod jobs;
mod profile;

use utoipa_axum::router::OpenApiRouter;

use crate::state::ApiState;

/// The routes of all pages.
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    profile::routes().merge(dashboard::routes()).merge(jobs::routes())
}
