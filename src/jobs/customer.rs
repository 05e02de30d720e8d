//! `/customers/jobs/{id}/action`: what a customer does with a job.

use axum::extract::State;
use chrono::Utc;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Action, Command, carry_out};
use crate::auth::Customer;
use crate::db::Pooler;
use crate::error::Result;
use crate::negotiation::Respond;
use crate::outbox::Notifier;
use crate::state::ApiState;
use crate::types::{Cents, JobId, OfferId, text_enum};
use crate::web::extract::{Json, Path};
use crate::web::fields::Fields;

/// The longest reason of a cancellation or rejection, in characters.
pub const MAX_REASON_CHARS: usize = 500;

pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(act))
}

text_enum! {
    /// What a customer does with a job.
    CustomerAction {
        /// Takes the provider's offer.
        ApproveEdits = "approve_edits",
        /// Closes the deal: work may begin.
        CloseDeal = "close_deal",
        /// Gives it up.
        Cancel = "cancel",
    }
}

/// What to do, and why.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CustomerActionRequest {
    action: CustomerAction,
    /// With `approve_edits`: which offer is meant; 409 if it is not the open one any more.
    offer_id: Option<OfferId>,
    /// With `cancel`: at most 500 characters; the provider reads it.
    cancellation_reason: Option<String>,
}

/// What was done.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CustomerActionView {
    message: &'static str,
    /// With `cancel`: what is owed, in dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    cancellation_fee: Option<Cents>,
    /// With `cancel`: it was early enough to book another date without loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    can_reschedule: Option<bool>,
}

/// Approves an offer, closes the deal, or cancels.
///
/// # Errors
/// 400 a field breaks a rule. 404 no such job, or somebody else's. 409 the job's state does not allow it.
#[utoipa::path(post, path = "/customers/jobs/{id}/action", tag = "jobs", security(("access_token" = [])), params(("id" = JobId, Path)), request_body = CustomerActionRequest,
    responses((status = 200, body = CustomerActionView), (status = 400, description = "A field breaks a rule"), (status = 403, description = "Not a customer"), (status = 404, description = "No such job, or somebody else's"), (status = 409, description = "The job's state does not allow it")))]
async fn act(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Customer,
    Path(id): Path<JobId>,
    Json(request): Json<CustomerActionRequest>,
) -> Result<Json<CustomerActionView>> {
    let mut rules = Fields::new();
    let reason = rules.optional_text("cancellationReason", request.cancellation_reason, MAX_REASON_CHARS);
    rules.finish()?;
    let now = Utc::now();

    let mut tx = pooler.write().await?;
    let (view, news) = match request.action {
        CustomerAction::ApproveEdits => {
            let (_, news) = Respond::accept(id, request.offer_id).carry_out(&mut tx, who.user_id, now).await?;
            (CustomerActionView::new("Changes approved"), news)
        }
        CustomerAction::CloseDeal => {
            let done = carry_out(&mut tx, Command::new(id, who.user_id, Action::CloseDeal), now).await?;
            (CustomerActionView::new("Deal closed: the job is in progress"), done.news)
        }
        CustomerAction::Cancel => {
            let command = Command::new(id, who.user_id, Action::Cancel).because(reason.as_deref());
            let done = carry_out(&mut tx, command, now).await?;
            let is_free = done.fee == Cents(0);
            let view = CustomerActionView {
                message: if is_free { "Job cancelled" } else { "Job cancelled: a cancellation fee is due" },
                cancellation_fee: Some(done.fee),
                can_reschedule: Some(is_free),
            };
            (view, done.news)
        }
    };
    tx.commit().await?;
    notifier.spread(news);
    Ok(Json(view))
}

impl CustomerActionView {
    const fn new(message: &'static str) -> Self {
        Self { message, cancellation_fee: None, can_reschedule: None }
    }
}
