//! `/admin/settings`.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use crate::admin::events::{self, AdminAction, AdminEvent, AdminSubject};
use crate::admin::snapshot;
use crate::auth::Admin;
use crate::catalog;
use crate::error::Result;
use crate::state::ApiState;
use crate::types::{Cents, Timestamp};
use crate::web::extract::Json;
use crate::web::fields::Fields;
use doors::Pooler;

pub(in crate::admin) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(settings, update))
}

/// The marketplace's settings.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SettingsView {
    /// How long a provider has to answer a request.
    pub response_deadline_minutes: i32,
    /// The number of missed deadlines from which on the LSM is notified.
    pub warning_threshold: i32,
    /// The number of bookings from which on a service counts as popular, unless an admin has said otherwise.
    pub popularity_threshold: i32,
    /// The share of the price that a late cancellation costs.
    pub cancellation_fee_percentage: i32,
    /// What a visit in person costs where a booking does not say.
    pub default_in_person_visit_cost: Cents,
    /// Whether a provider is approved only with documents, all of them verified.
    pub require_documents: bool,
    pub updated_at: Timestamp,
}

/// A change of the settings; what is missing stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SettingsChange {
    /// 15 to 1440.
    pub response_deadline_minutes: Option<i32>,
    /// 1 to 10.
    pub warning_threshold: Option<i32>,
    /// 1 to 1000.
    pub popularity_threshold: Option<i32>,
    /// 0 to 100.
    pub cancellation_fee_percentage: Option<i32>,
    /// In dollars.
    pub default_in_person_visit_cost: Option<Cents>,
    pub require_documents: Option<bool>,
}

impl SettingsChange {
    fn check(self) -> Result<Self> {
        let mut rules = Fields::new();
        for (field, value, range) in [
            ("responseDeadlineMinutes", self.response_deadline_minutes, 15..=1440),
            ("warningThreshold", self.warning_threshold, 1..=10),
            ("popularityThreshold", self.popularity_threshold, 1..=1000),
            ("cancellationFeePercentage", self.cancellation_fee_percentage, 0..=100),
        ] {
            let rule = format!("must be {} to {}", range.start(), range.end());
            rules.check(field, value.is_none_or(|value| range.contains(&value)), &rule);
        }
        rules.finish()?;
        Ok(self)
    }
}

/// Returns the marketplace's settings.
#[utoipa::path(get, path = "/admin/settings", tag = "admin", security(("admin" = [])),
    responses((status = 200, body = SettingsView)))]
async fn settings(State(pooler): State<Pooler>, _who: Admin) -> Result<Json<SettingsView>> {
    Ok(Json(queries::find(&pooler).await?))
}

/// Changes the marketplace's settings. Deadlines that run already stay as they are.
///
/// # Errors
/// 400 a field breaks a rule.
#[utoipa::path(put, path = "/admin/settings", tag = "admin", security(("admin" = [])), request_body = SettingsChange,
    responses((status = 200, body = SettingsView)))]
async fn update(
    State(pooler): State<Pooler>,
    who: Admin,
    Json(request): Json<SettingsChange>,
) -> Result<Json<SettingsView>> {
    let change = request.check()?;
    let mut tx = pooler.write().await?;
    let before = queries::lock(&mut tx).await?;
    let after = queries::set(&mut tx, &change).await?;
    if before.popularity_threshold != after.popularity_threshold {
        catalog::editing::set_popularity(&mut tx).await?;
    }
    let event = AdminEvent {
        actor: who.user_id,
        action: AdminAction::UpdateSettings,
        subject: AdminSubject::Settings,
        subject_id: None,
        before: Some(snapshot(&before)?),
        after: Some(snapshot(&after)?),
    };
    events::record(&mut tx, &event).await?;
    tx.commit().await?;
    Ok(Json(after))
}
