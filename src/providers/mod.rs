//! The calling provider: profile, availability, dashboard, jobs, services and templates.
//!
//! Invariants: a provider sees and changes only what is found by the caller's own user id; a provider with a
//! new or running job does not become inactive, and one that is inactive gets no booking, however the two
//! requests race.

mod availability;
mod availability_queries;
mod dashboard;
mod dashboard_queries;
mod jobs;
mod jobs_queries;
mod profile;
mod profile_queries;
mod profile_request;
mod public;
mod public_queries;
mod services;
mod services_queries;
mod templates;
mod templates_queries;
mod types;

use utoipa_axum::router::OpenApiRouter;

use crate::state::ApiState;

pub use types::ProviderStatus;

/// The feature's routes.
#[must_use]
pub fn routes() -> OpenApiRouter<ApiState> {
    dashboard::routes()
        .merge(profile::routes())
        .merge(availability::routes())
        .merge(jobs::routes())
        .merge(services::routes())
        .merge(templates::routes())
        .merge(public::routes())
}
