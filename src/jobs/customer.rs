//! `/customers/jobs/{id}/action`: a customer's actions on a job.

use axum::extract::State;
use chrono::Utc;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::transition::{Job, Transition};
use super::types::Command;
use crate::auth::Customer;
use crate::error::Result;
use crate::outbox::Notifier;
use crate::state::ApiState;
use crate::types::{Cents, JobId, OfferId, text_enum};
use crate::web::extract::{Json, Path};
use crate::web::fields::Fields;
use doors::Pooler;

/// The longest reason of a cancellation or rejection, in characters.
pub(super) const MAX_REASON_CHARS: usize = 500;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(act))
}

text_enum! {
    /// A customer's action on a job.
    CustomerAction {
        /// Takes the provider's offer.
        ApproveEdits = "approve_edits",
        /// Closes the deal: work may begin.
        CloseDeal = "close_deal",
        /// Cancels the job.
        Cancel = "cancel",
    }
}

/// A customer's action on a job.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CustomerActionRequest {
    action: CustomerAction,
    /// With `approve_edits`: the offer that is meant; 409 if it is no longer the open one.
    offer_id: Option<OfferId>,
    /// With `cancel`: at most 500 characters; the provider reads it.
    cancellation_reason: Option<String>,
}

/// The effect of the action.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CustomerActionView {
    message: &'static str,
    /// With `cancel`: the fee, in dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    cancellation_fee: Option<Cents>,
    /// With `cancel`: whether it was early enough to cost nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    can_reschedule: Option<bool>,
}

/// Approves an offer, closes the deal, or cancels.
///
/// # Errors
/// 400 a field breaks a rule. 404 no such job, or somebody else's. 409 the job's state does not allow it.
#[utoipa::path(post, path = "/customers/jobs/{id}/action", tag = "jobs", security(("customer" = [])),
    params(("id" = JobId, Path)), request_body = CustomerActionRequest,
    responses(
        (status = 200, body = CustomerActionView),
        (status = 404, description = "No such job, or somebody else's"),
        (status = 409, description = "The job's state does not allow it"),
    ))]
async fn act(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Customer,
    Path(id): Path<JobId>,
    Json(request): Json<CustomerActionRequest>,
) -> Result<Json<CustomerActionView>> {
    let action = request.action;
    let command = request.check()?;
    let mut tx = pooler.write().await?;
    let job = Job::load_for_update(&mut tx, id, who.user_id).await?;
    let transition = job.apply(command, Utc::now())?;
    let stored = job.store(&mut tx, &transition).await?;
    tx.commit().await?;
    notifier.publish(stored.outbox);
    Ok(Json(CustomerActionView::new(action, &transition)))
}

impl CustomerActionRequest {
    fn check(self) -> Result<Command> {
        let mut rules = Fields::new();
        let reason = rules.optional_text("cancellationReason", self.cancellation_reason, MAX_REASON_CHARS);
        rules.finish()?;
        Ok(match self.action {
            CustomerAction::ApproveEdits => Command::AcceptOffer { offer: self.offer_id },
            CustomerAction::CloseDeal => Command::CloseDeal,
            CustomerAction::Cancel => Command::Cancel { reason },
        })
    }
}

impl CustomerActionView {
    fn new(action: CustomerAction, transition: &Transition) -> Self {
        let message = |message| Self { message, cancellation_fee: None, can_reschedule: None };
        match action {
            CustomerAction::ApproveEdits => message("Changes approved"),
            CustomerAction::CloseDeal => message("Deal closed: the job is in progress"),
            CustomerAction::Cancel => {
                let fee = transition.change.fee;
                let is_free = fee == Cents(0);
                Self {
                    message: if is_free { "Job cancelled" } else { "Job cancelled: a cancellation fee is due" },
                    cancellation_fee: Some(fee),
                    can_reschedule: Some(is_free),
                }
            }
        }
    }
}
