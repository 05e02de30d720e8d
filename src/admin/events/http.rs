//! `/admin/events`: what admins have done.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, EventFilter};
use super::types::{AdminAction, AdminSubject};
use crate::auth::Admin;
use crate::error::Result;
use crate::state::ApiState;
use crate::types::{Timestamp, UserId};
use crate::web::extract::{Json, Query};
use crate::web::fields::Fields;
use crate::web::page::{Page, PageRequest};
use doors::Pooler;

pub(in crate::admin) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(events))
}

/// A selection of the records.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
struct EventsQuery {
    /// Returns only what this admin has done.
    actor_id: Option<UserId>,
    /// Returns only actions of this kind.
    #[param(inline)]
    action: Option<AdminAction>,
    /// Returns only actions on subjects of this kind.
    #[param(inline)]
    subject: Option<AdminSubject>,
    /// Returns only actions on subjects with this id.
    subject_id: Option<i64>,
    /// The number of the page, from 1.
    page: Option<i64>,
    /// The maximum number of rows, 1 to 100; 20 by default.
    limit: Option<i64>,
}

/// An admin's name.
#[derive(Serialize, ToSchema)]
pub(super) struct AdminNameView {
    pub id: UserId,
    /// First and last name.
    pub name: String,
    pub email: String,
}

/// A record of what an admin has done.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AdminEventView {
    pub id: i64,
    pub actor: AdminNameView,
    pub action: AdminAction,
    pub subject: AdminSubject,
    /// Null if there is only one, or they are many.
    pub subject_id: Option<i64>,
    /// What was there; null if nothing was.
    pub before: Option<Value>,
    /// What is there now; null if nothing is.
    pub after: Option<Value>,
    pub at: Timestamp,
}

/// Lists what admins have done, newest first.
///
/// # Errors
/// 400 a parameter breaks a rule.
#[utoipa::path(get, path = "/admin/events", tag = "admin", security(("admin" = [])), params(EventsQuery),
    responses((status = 200, body = Page<AdminEventView>)))]
async fn events(
    State(pooler): State<Pooler>,
    _who: Admin,
    Query(query): Query<EventsQuery>,
) -> Result<Json<Page<AdminEventView>>> {
    let mut rules = Fields::new();
    let page = PageRequest::read(&mut rules, query.page, query.limit);
    rules.finish()?;
    let filter = EventFilter {
        actor: query.actor_id,
        action: query.action,
        subject: query.subject,
        subject_id: query.subject_id,
        page,
    };
    let (events, total) = queries::list(&pooler, &filter).await?;
    Ok(Json(Page::new(events, total, page)))
}
