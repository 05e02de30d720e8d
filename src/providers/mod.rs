//! The calling provider: profile, availability, dashboard, lists of jobs, services and templates; and the public page.
//!
//! Invariants: a provider sees and changes only rows found by the caller's own user id. A provider with a new or
//! running job does not become inactive unless its LSM or an admin forces it, and an inactive one receives no booking,
//! whatever the order of the requests.

mod availability;
pub(crate) mod ban_requests;
mod dashboard;
pub(crate) mod documents;
mod images;
mod jobs;
mod profile;
mod public;
mod services;
pub(crate) mod status;
mod templates;
mod types;

use utoipa_axum::router::OpenApiRouter;

use crate::state::ApiState;

pub(crate) use availability::{claim_unreminded, count_unreminded};
pub(crate) use jobs::{JobFilter, JobsQuery};
pub(crate) use profile::{DocumentView, DocumentsView};
pub(crate) use services::{OfferedServiceView, add_service};
pub(crate) use types::{ProviderStatus, parse_statuses};

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
