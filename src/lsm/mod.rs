//! Local service managers: what they see, and what they do with their providers. Their disputes are in `disputes`.
//!
//! Invariant: every statement finds its rows by the caller's own user id, through an active row of
//! `stm.local_service_managers`: another LSM's providers, and all that belongs to them, do not exist.

mod dashboard;
mod jobs;
mod onboarding;
mod providers;
mod reviews;
mod service_requests;
mod status;

use utoipa_axum::router::OpenApiRouter;

use crate::state::ApiState;

/// The longest reason, in characters.
const MAX_REASON: usize = 1000;

/// The routes of all pages.
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    dashboard::routes()
        .merge(jobs::routes())
        .merge(onboarding::routes())
        .merge(providers::routes())
        .merge(reviews::routes())
        .merge(service_requests::routes())
        .merge(status::routes())
}
