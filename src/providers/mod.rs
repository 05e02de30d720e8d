//! The calling provider: profile, availability, dashboard, lists of jobs, services and templates; and the public page.
//!
//! Invariants: a provider sees and changes only rows found by the caller's own user id. A provider with a new or
//! running job does not become inactive, and an inactive one receives no booking, whatever the order of the requests.

mod availability;
mod dashboard;
pub(crate) mod documents;
mod images;
mod jobs;
mod profile;
mod public;
mod services;
mod templates;
mod types;

use utoipa_axum::router::OpenApiRouter;

use crate::state::ApiState;

pub(crate) use types::ProviderStatus;

/// The routes of all pages.
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    dashboard::routes()
        .merge(profile::routes())
        .merge(documents::routes())
        .merge(images::routes())
        .merge(availability::routes())
        .merge(jobs::routes())
        .merge(services::routes())
        .merge(templates::routes())
        .merge(public::routes())
}
