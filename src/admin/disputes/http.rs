//! `/admin/disputes`.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, DisputeFilter};
use crate::admin::list::NameView;
use crate::auth::Admin;
use crate::disputes::DisputeProgress;
use crate::error::{Error, Result};
use crate::state::ApiState;
use crate::types::{Cents, ChatId, DisputeId, JobId, JobStatus, Timestamp};
use crate::web::extract::{Json, Path, Query};
use crate::web::fields::Fields;
use crate::web::page::{Page, PageRequest};
use doors::Pooler;

pub(in crate::admin) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(dispute))
}

/// A selection of the disputes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AdminDisputesQuery {
    /// `pending` (all that are not resolved), `under_review` (those of them whose chat the LSM has joined) or `resolved`;
    /// all by default.
    #[param(inline)]
    status: Option<DisputeProgress>,
    /// The number of the page, from 1.
    page: Option<i64>,
    /// 1 to 100; 20 by default.
    limit: Option<i64>,
}

/// A dispute. What the parties write to each other stays with them and their LSM.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AdminDisputeView {
    pub id: DisputeId,
    pub status: DisputeProgress,
    /// What went wrong, in the customer's words.
    pub description: String,
    /// The resolution, in the LSM's words.
    pub resolution_notes: Option<String>,
    pub job_id: JobId,
    /// The service's name.
    pub service: String,
    pub job_status: JobStatus,
    pub price: Cents,
    pub customer: NameView,
    pub provider: NameView,
    /// Who resolves it.
    pub lsm: NameView,
    /// The chat of both parties; null if there is none.
    pub chat_id: Option<ChatId>,
    pub created_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
}

/// Lists the disputes of everybody, newest first.
///
/// # Errors
/// 400 a parameter breaks a rule.
#[utoipa::path(get, path = "/admin/disputes", tag = "admin", security(("admin" = [])), params(AdminDisputesQuery),
    responses((status = 200, body = Page<AdminDisputeView>)))]
async fn list(
    State(pooler): State<Pooler>,
    _who: Admin,
    Query(query): Query<AdminDisputesQuery>,
) -> Result<Json<Page<AdminDisputeView>>> {
    let mut rules = Fields::new();
    let page = PageRequest::read(&mut rules, query.page, query.limit);
    rules.finish()?;
    let filter = DisputeFilter { id: None, status: query.status, page };
    let (disputes, total) = queries::list(&pooler, filter).await?;
    Ok(Json(Page::new(disputes, total, page)))
}

/// Returns one dispute.
///
/// # Errors
/// 404 no such dispute.
#[utoipa::path(get, path = "/admin/disputes/{id}", tag = "admin", security(("admin" = [])),
    params(("id" = DisputeId, Path)),
    responses(
        (status = 200, body = AdminDisputeView),
        (status = 404, description = "No such dispute"),
    ))]
async fn dispute(
    State(pooler): State<Pooler>,
    _who: Admin,
    Path(id): Path<DisputeId>,
) -> Result<Json<AdminDisputeView>> {
    let filter = DisputeFilter { id: Some(id), status: None, page: PageRequest::ONE_ROW };
    let (disputes, _) = queries::list(&pooler, filter).await?;
    disputes.into_iter().next().map(Json).ok_or(Error::NotFound("dispute"))
}
