//! Admins: they see the whole marketplace, change its settings and catalogue, appoint LSMs, and ban.
//!
//! Invariants: whatever an admin changes leaves a record in `stm.admin_events`, in the same transaction. Admins are no
//! wildcard: the routes of other roles refuse them. Every list has a limit.

mod ban_requests;
mod customers;
mod dashboard;
mod disputes;
mod events;
mod jobs;
mod list;
mod lsms;
mod providers;
mod reminders;
mod reports;
mod reviews;
mod service_requests;
mod services;
mod settings;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;

use crate::error::Result;
use crate::state::ApiState;

/// The routes of all pages.
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    dashboard::routes()
        .merge(ban_requests::routes())
        .merge(customers::routes())
        .merge(disputes::routes())
        .merge(events::routes())
        .merge(jobs::routes())
        .merge(lsms::routes())
        .merge(providers::routes())
        .merge(reminders::routes())
        .merge(reports::routes())
        .merge(reviews::routes())
        .merge(service_requests::routes())
        .merge(services::routes())
        .merge(settings::routes())
}

/// A value as a record of an admin's actions holds it.
fn snapshot(value: &impl Serialize) -> Result<Value> {
    Ok(serde_json::to_value(value).context("a snapshot for the record")?)
}
