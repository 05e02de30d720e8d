//! `/provider/jobs/{id}/respond` and `/provider/jobs/{id}/update-status`: what a provider does with a job.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::Utc;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::customer::MAX_REASON_CHARS;
use super::{Action, Command, Payment, carry_out};
use crate::auth::Provider;
use crate::db::Pooler;
use crate::error::{Result, invalid};
use crate::idempotency::{self, Answer, Begun, Once};
use crate::negotiation::{Names, Proposal, Send};
use crate::outbox::Notifier;
use crate::state::ApiState;
use crate::types::{Cents, JobId, JobStatus, OfferId, text_enum};
use crate::web::extract::{Json, Path};
use crate::web::fields::Fields;

/// The longest notes of a payment, in characters.
const MAX_NOTES_CHARS: usize = 500;

pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(respond)).routes(routes!(update_status))
}

text_enum! {
    /// What a provider says to a request.
    ProviderResponse {
        /// Takes it as it is, or as the customer's open offer has it.
        Accept = "accept",
        /// Turns it down.
        Reject = "reject",
        /// Offers other terms.
        Negotiate = "negotiate",
    }
}

/// What to say to a request.
#[derive(Deserialize, ToSchema)]
struct ProviderResponseRequest {
    action: ProviderResponse,
    /// With `accept`: the customer's offer that is meant; 409 if it is not the open one any more.
    #[serde(rename = "offerId")]
    offer_id: Option<OfferId>,
    /// With `reject`: at most 500 characters; the customer reads it.
    reason: Option<String>,
    /// With `negotiate`: the offer.
    negotiation: Option<NegotiationRequest>,
}

/// Other terms; what is left out stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NegotiationRequest {
    /// Changed answers to the service's questions.
    #[schema(value_type = Option<Object>)]
    edited_answers: Option<serde_json::Value>,
    /// In dollars.
    edited_price: Option<Cents>,
    /// ISO-8601.
    edited_schedule: Option<String>,
    /// At most 1,000 characters.
    notes: Option<String>,
}

const EDITED: Names = Names {
    price: "negotiation.editedPrice",
    date: "negotiation.editedSchedule",
    notes: "negotiation.notes",
    answers: "negotiation.editedAnswers",
};

/// What was said.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProviderResponseView {
    job_id: JobId,
    status: JobStatus,
    action: ProviderResponse,
    /// With `accept`.
    #[serde(skip_serializing_if = "Option::is_none")]
    sp_accepted: Option<bool>,
    /// With `negotiate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_approval: Option<bool>,
    /// With `reject`, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    message: &'static str,
}

/// Accepts a new job, rejects it, or offers other terms.
///
/// # Errors
/// 400 a field breaks a rule, or nothing is proposed. 404 no such job, or somebody else's. 409 the job's state does not
/// allow it, or it is another provider's by now.
#[utoipa::path(post, path = "/provider/jobs/{id}/respond", tag = "jobs", security(("access_token" = [])), params(("id" = JobId, Path)), request_body = ProviderResponseRequest,
    responses((status = 200, body = ProviderResponseView), (status = 400, description = "A field breaks a rule, or nothing is proposed"), (status = 403, description = "Not a service provider"), (status = 404, description = "No such job, or somebody else's"), (status = 409, description = "The job's state does not allow it, or it is another provider's by now")))]
async fn respond(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Provider,
    Path(id): Path<JobId>,
    Json(request): Json<ProviderResponseRequest>,
) -> Result<Json<ProviderResponseView>> {
    let now = Utc::now();
    let action = request.action;
    let mut rules = Fields::new();
    let reason = rules.optional_text("reason", request.reason, MAX_REASON_CHARS);
    rules.finish()?;
    let offer = match (action, request.negotiation) {
        (ProviderResponse::Negotiate, Some(terms)) => {
            let NegotiationRequest { edited_answers, edited_price, edited_schedule, notes } = terms;
            Some(Send::new(id, Proposal::read(EDITED, edited_price, edited_schedule, notes, edited_answers, now)?))
        }
        (ProviderResponse::Negotiate, None) => return Err(invalid("negotiation", "must say what is offered")),
        _ => None,
    };
    let mut view = ProviderResponseView {
        job_id: id,
        status: JobStatus::New,
        action,
        sp_accepted: None,
        pending_approval: None,
        reason: None,
        message: "Job accepted. Waiting for the customer to close the deal.",
    };

    let mut tx = pooler.write().await?;
    let news = if let Some(offer) = offer {
        view.pending_approval = Some(true);
        view.message = "Offer sent. Waiting for the customer's answer.";
        offer.carry_out(&mut tx, who.user_id, now).await?.1
    } else {
        let is_rejected = action == ProviderResponse::Reject;
        let action = if is_rejected { Action::Reject } else { Action::Accept };
        let command = Command::new(id, who.user_id, action)
            .of_offer(request.offer_id)
            .because(reason.as_deref().filter(|_| is_rejected));
        let done = carry_out(&mut tx, command, now).await?;
        view.status = done.state.status;
        if is_rejected {
            view.message = "Job rejected. The customer has been notified.";
            view.reason = reason;
        } else {
            view.sp_accepted = Some(done.state.sp_accepted);
        }
        done.news
    };
    tx.commit().await?;
    notifier.spread(news);
    Ok(Json(view))
}

text_enum! {
    /// How far a provider has come with a job.
    ProviderUpdate {
        /// The work is done.
        MarkComplete = "mark_complete",
        /// The money was received.
        MarkPayment = "mark_payment",
    }
}

text_enum! {
    /// How money was received.
    PaymentMethod {
        /// In notes and coins.
        Cash = "cash",
        /// By card.
        Card = "card",
        /// By bank transfer.
        BankTransfer = "bank_transfer",
        /// By an online service.
        Online = "online",
    }
}

/// How far the provider has come.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProviderUpdateRequest {
    action: ProviderUpdate,
    /// With `mark_payment`; without it the payment counts as cash.
    payment_details: Option<PaymentDetailsRequest>,
}

/// How the money was received.
#[derive(Deserialize, ToSchema)]
struct PaymentDetailsRequest {
    method: PaymentMethod,
    /// At most 500 characters.
    notes: Option<String>,
}

/// How far the job is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProviderUpdateView {
    job_id: JobId,
    status: JobStatus,
    message: &'static str,
}

/// Marks a job as completed, or as paid. With an `Idempotency-Key` a repetition gets the first answer again.
///
/// # Errors
/// 400 a field breaks a rule. 404 no such job, or somebody else's. 409 the job's state does not allow it. 422 the key was
/// used for another request.
#[utoipa::path(post, path = "/provider/jobs/{id}/update-status", tag = "jobs", security(("access_token" = [])), request_body = ProviderUpdateRequest,
    params(("id" = JobId, Path), ("Idempotency-Key" = Option<String>, Header, description = "Repeats get the first answer")),
    responses((status = 200, body = ProviderUpdateView), (status = 400, description = "A field breaks a rule"), (status = 403, description = "Not a service provider"), (status = 404, description = "No such job, or somebody else's"), (status = 409, description = "The job's state does not allow it"), (status = 422, description = "The Idempotency-Key was used for another request")))]
async fn update_status(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Provider,
    Path(id): Path<JobId>,
    request: Once<ProviderUpdateRequest>,
) -> Result<Answer> {
    let ProviderUpdateRequest { action, payment_details } = request.body;
    let (method, notes) =
        payment_details.map_or((PaymentMethod::Cash, None), |details| (details.method, details.notes));
    let mut rules = Fields::new();
    let notes = rules.optional_text("paymentDetails.notes", notes, MAX_NOTES_CHARS);

    let mut tx = pooler.write().await?;
    let unanswered = match idempotency::begin(&mut tx, who.user_id, request.key).await? {
        Begun::Before(answer) => return Ok(answer),
        Begun::Now(unanswered) => unanswered,
    };
    rules.finish()?;
    let (action, message) = match action {
        ProviderUpdate::MarkComplete => (Action::MarkComplete, "Job marked as completed"),
        ProviderUpdate::MarkPayment => (Action::MarkPayment, "Payment marked as received"),
    };
    let payment = Payment { method: Some(method.as_str()), notes: notes.as_deref() };
    let command = Command { payment, ..Command::new(id, who.user_id, action) };
    let done = carry_out(&mut tx, command, Utc::now()).await?;
    let view = ProviderUpdateView { job_id: id, status: done.state.status, message };
    let answer = unanswered.finish(&mut tx, StatusCode::OK, &view).await?;
    tx.commit().await?;
    notifier.spread(done.news);
    Ok(answer)
}
