//! SQL of the settings.

use super::http::{SettingsChange, SettingsView};
use crate::types::Cents;
use doors::{Pooler, Tx};

/// Reads the settings.
pub(super) async fn find(pooler: &Pooler) -> sqlx::Result<SettingsView> {
    sqlx::query_as!(
        SettingsView,
        r#"select response_deadline_minutes, warning_threshold, popularity_threshold, cancellation_fee_percentage,
                  default_in_person_visit_cost_cents as "default_in_person_visit_cost: Cents", require_documents,
                  updated_at
           from stm.settings"#,
    )
    .fetch_one(pooler)
    .await
}

/// Locks the settings until the transaction ends.
pub(super) async fn lock(tx: &mut Tx<Pooler>) -> sqlx::Result<SettingsView> {
    sqlx::query_as!(
        SettingsView,
        r#"select response_deadline_minutes, warning_threshold, popularity_threshold, cancellation_fee_percentage,
                  default_in_person_visit_cost_cents as "default_in_person_visit_cost: Cents", require_documents,
                  updated_at
           from stm.settings
           for no key update"#,
    )
    .fetch_one(tx)
    .await
}

/// Changes the settings that are given.
pub(super) async fn set(tx: &mut Tx<Pooler>, change: &SettingsChange) -> sqlx::Result<SettingsView> {
    sqlx::query_as!(
        SettingsView,
        r#"update stm.settings
           set response_deadline_minutes = coalesce($1, response_deadline_minutes),
               warning_threshold = coalesce($2, warning_threshold),
               popularity_threshold = coalesce($3, popularity_threshold),
               cancellation_fee_percentage = coalesce($4, cancellation_fee_percentage),
               default_in_person_visit_cost_cents = coalesce($5, default_in_person_visit_cost_cents),
               require_documents = coalesce($6, require_documents),
               updated_at = now()
           returning response_deadline_minutes, warning_threshold, popularity_threshold, cancellation_fee_percentage,
                     default_in_person_visit_cost_cents as "default_in_person_visit_cost: Cents", require_documents,
                  updated_at"#,
        change.response_deadline_minutes,
        change.warning_threshold,
        change.popularity_threshold,
        change.cancellation_fee_percentage,
        change.default_in_person_visit_cost.map(|cost| cost.0),
        change.require_documents,
    )
    .fetch_one(tx)
    .await
}
