//! `/provider/jobs/{id}/respond` and `/provider/jobs/{id}/update-status`: a provider's actions on a job.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Provider;
use crate::error::{Result, invalid};
use crate::idempotency::{Keyed, StoredAnswer, once};
use crate::jobs::customer::MAX_REASON_CHARS;
use crate::jobs::offers::{FieldNames, Proposal};
use crate::jobs::transition::{Job, Transition};
use crate::jobs::types::{Command, PaymentMethod};
use crate::outbox::Notifier;
use crate::state::ApiState;
use crate::types::{Cents, JobId, JobStatus, OfferId, text_enum};
use crate::web::docs;
use crate::web::extract::{Json, Path};
use crate::web::fields::Fields;
use doors::Pooler;

/// The longest notes of a payment, in characters.
const MAX_NOTES_CHARS: usize = 500;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(respond)).routes(routes!(update_status))
}

text_enum! {
    /// A provider's answer to a request.
    ProviderResponse {
        /// Takes it as it is, or as the customer's open offer has it.
        Accept = "accept",
        /// Turns it down.
        Reject = "reject",
        /// Offers other terms.
        Negotiate = "negotiate",
    }
}

/// A provider's answer to a request.
#[derive(Deserialize, ToSchema)]
struct ProviderResponseRequest {
    action: ProviderResponse,
    /// With `accept`: the offer of the customer that is meant; 409 if it is no longer the open one.
    #[serde(rename = "offerId")]
    offer_id: Option<OfferId>,
    /// With `reject`: at most 500 characters; the customer reads it.
    reason: Option<String>,
    /// With `negotiate`: the offer.
    negotiation: Option<NegotiationRequest>,
}

/// Other terms; fields left out are not changed.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NegotiationRequest {
    /// Changed answers to the service's questions.
    edited_answers: Option<serde_json::Value>,
    /// In dollars.
    edited_price: Option<Cents>,
    /// ISO-8601.
    edited_schedule: Option<String>,
    /// At most 1,000 characters.
    notes: Option<String>,
}

const EDITED: FieldNames = FieldNames {
    price: "negotiation.editedPrice",
    date: "negotiation.editedSchedule",
    notes: "negotiation.notes",
    answers: "negotiation.editedAnswers",
};

/// The effect of a provider's answer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProviderResponseView {
    job_id: JobId,
    status: JobStatus,
    action: ProviderResponse,
    /// With `accept`: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    sp_accepted: Option<bool>,
    /// With `negotiate`: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_approval: Option<bool>,
    /// With `reject`: the reason, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    message: &'static str,
}

/// Accepts a new job, rejects it, or offers other terms.
///
/// # Errors
/// 400 a field breaks a rule, or nothing is proposed. 404 no such job, or somebody else's. 409 the job's state does not
/// allow it, or it is another provider's by now.
#[utoipa::path(post, path = "/provider/jobs/{id}/respond", tag = "jobs", security(("provider" = [])),
    params(("id" = JobId, Path)), request_body = ProviderResponseRequest,
    responses(
        (status = 200, body = ProviderResponseView),
        (status = 400, description = "A field breaks a rule, or nothing is proposed"),
        (status = 404, description = "No such job, or somebody else's"),
        (status = 409, description = "The job's state does not allow it, or it is another provider's by now"),
    ))]
async fn respond(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Provider,
    Path(id): Path<JobId>,
    Json(request): Json<ProviderResponseRequest>,
) -> Result<Json<ProviderResponseView>> {
    let now = Utc::now();
    let action = request.action;
    let command = request.check(now)?;

    let mut tx = pooler.write().await?;
    let job = Job::load_for_update(&mut tx, id, who.user_id).await?;
    let transition = job.apply(command, now)?;
    let stored = job.store(&mut tx, &transition).await?;
    tx.commit().await?;
    notifier.publish(stored.outbox);
    Ok(Json(ProviderResponseView::new(id, action, &transition)))
}

impl ProviderResponseRequest {
    fn check(self, now: DateTime<Utc>) -> Result<Command> {
        let mut rules = Fields::new();
        let reason = rules.optional_text("reason", self.reason, MAX_REASON_CHARS);
        rules.finish()?;
        match self.action {
            ProviderResponse::Accept => Ok(Command::Accept { offer: self.offer_id }),
            ProviderResponse::Reject => Ok(Command::Reject { reason }),
            ProviderResponse::Negotiate => {
                let terms = self.negotiation.ok_or_else(|| invalid("negotiation", "must say what is offered"))?;
                let NegotiationRequest { edited_answers, edited_price, edited_schedule, notes } = terms;
                let proposal =
                    Proposal::read(EDITED, edited_price, edited_schedule.as_deref(), notes, edited_answers, now)?;
                Ok(Command::SendOffer { proposal })
            }
        }
    }
}

impl ProviderResponseView {
    fn new(job_id: JobId, action: ProviderResponse, transition: &Transition) -> Self {
        let state = &transition.change.state;
        let view = Self {
            job_id,
            status: state.status,
            action,
            sp_accepted: None,
            pending_approval: None,
            reason: transition.command.reason().map(str::to_owned),
            message: "",
        };
        match action {
            ProviderResponse::Accept => Self {
                sp_accepted: Some(state.sp_accepted),
                message: "Job accepted. Waiting for the customer to close the deal.",
                ..view
            },
            ProviderResponse::Reject => Self { message: "Job rejected. The customer has been notified.", ..view },
            ProviderResponse::Negotiate => {
                Self { pending_approval: Some(true), message: "Offer sent. Waiting for the customer's answer.", ..view }
            }
        }
    }
}

text_enum! {
    /// A provider's progress with a job.
    ProviderUpdate {
        /// The work is done.
        MarkComplete = "mark_complete",
        /// The money was received.
        MarkPayment = "mark_payment",
    }
}

/// A provider's progress with a job.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProviderUpdateRequest {
    action: ProviderUpdate,
    /// With `mark_payment`; cash by default.
    payment_details: Option<PaymentDetailsRequest>,
}

/// The details of a payment.
#[derive(Deserialize, ToSchema)]
struct PaymentDetailsRequest {
    method: PaymentMethod,
    /// At most 500 characters.
    notes: Option<String>,
}

/// The job's status after the update.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProviderUpdateView {
    job_id: JobId,
    status: JobStatus,
    message: &'static str,
}

/// Marks a job as completed, or as paid. A repetition with the same `Idempotency-Key` receives the first answer.
///
/// # Errors
/// 400 a field breaks a rule. 404 no such job, or somebody else's. 409 the job's state does not allow it. 422 the key was
/// used for another request.
#[utoipa::path(post, path = "/provider/jobs/{id}/update-status", tag = "jobs", security(("provider" = [])),
    params(("id" = JobId, Path), docs::IdempotencyKey), request_body = ProviderUpdateRequest,
    responses(
        (status = 200, body = ProviderUpdateView),
        (status = 404, description = "No such job, or somebody else's"),
        (status = 409, description = "The job's state does not allow it"),
    ))]
async fn update_status(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Provider,
    Path(id): Path<JobId>,
    request: Keyed<ProviderUpdateRequest>,
) -> Result<StoredAnswer> {
    let action = request.body.action;
    let check = ProviderUpdateRequest::check;
    let (answer, outbox) = once(&pooler, who.user_id, request, check, async |tx, command| {
        let job = Job::load_for_update(tx, id, who.user_id).await?;
        let transition = job.apply(command, Utc::now())?;
        let stored = job.store(tx, &transition).await?;
        let view = ProviderUpdateView::new(id, action, &transition);
        Ok((StatusCode::OK, view, stored.outbox))
    })
    .await?;
    notifier.publish(outbox);
    Ok(answer)
}

impl ProviderUpdateRequest {
    fn check(self) -> Result<Command> {
        let (method, notes) =
            self.payment_details.map_or((PaymentMethod::Cash, None), |details| (details.method, details.notes));
        let mut rules = Fields::new();
        let notes = rules.optional_text("paymentDetails.notes", notes, MAX_NOTES_CHARS);
        rules.finish()?;
        Ok(match self.action {
            ProviderUpdate::MarkComplete => Command::MarkComplete,
            ProviderUpdate::MarkPayment => Command::MarkPayment { method, notes },
        })
    }
}

impl ProviderUpdateView {
    const fn new(job_id: JobId, action: ProviderUpdate, transition: &Transition) -> Self {
        let message = match action {
            ProviderUpdate::MarkComplete => "Job marked as completed",
            ProviderUpdate::MarkPayment => "Payment marked as received",
        };
        Self { job_id, status: transition.change.state.status, message }
    }
}
