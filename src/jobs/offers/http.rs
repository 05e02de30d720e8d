//! `/chat/negotiation`: offers, for both parties.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::Utc;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::types::{OfferSentView, OfferView, RespondRequest, RespondedView, SendOfferRequest};
use super::{commands, queries};
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::outbox::Notifier;
use crate::state::ApiState;
use crate::types::{Cents, JobId, Timestamp};
use crate::web::extract::{Json, Path};
use crate::web::fields::MAX_LIMIT;
use doors::Pooler;

/// The routes of offers.
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(send_offer)).routes(routes!(respond)).routes(routes!(history))
}

/// Offers other terms for a new job. An offer of one's own that is open is withdrawn, one of the other party's is
/// thereby countered.
///
/// # Errors
/// 400 a field breaks a rule, or nothing is proposed. 404 no such job, or not one of its parties. 409 the job is not new.
#[utoipa::path(post, path = "/chat/negotiation/send-offer", tag = "negotiation", security(("access_token" = [])),
    request_body = SendOfferRequest,
    responses(
        (status = 201, body = OfferSentView),
        (status = 400, description = "A field breaks a rule, or nothing is proposed"),
        (status = 404, description = "No such job, or not one of its parties"),
        (status = 409, description = "The job is not new"),
    ))]
async fn send_offer(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Caller,
    Json(request): Json<SendOfferRequest>,
) -> Result<(StatusCode, Json<OfferSentView>)> {
    let now = Utc::now();
    let offer = request.check(now)?;
    let mut tx = pooler.write().await?;
    let (sent, outbox) = commands::send(&mut tx, who.user_id, offer, now).await?;
    tx.commit().await?;
    notifier.publish(outbox);
    Ok((StatusCode::CREATED, Json(sent)))
}

/// Answers the other party's open offer.
///
/// # Errors
/// 400 a field breaks a rule. 404 no such job, or not one of its parties. 409 there is no offer to answer.
#[utoipa::path(post, path = "/chat/negotiation/respond", tag = "negotiation", security(("access_token" = [])),
    request_body = RespondRequest,
    responses(
        (status = 201, body = RespondedView),
        (status = 404, description = "No such job, or not one of its parties"),
        (status = 409, description = "There is no offer of the other party to answer"),
    ))]
async fn respond(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Caller,
    Json(request): Json<RespondRequest>,
) -> Result<(StatusCode, Json<RespondedView>)> {
    let now = Utc::now();
    let response = request.check(now)?;
    let mut tx = pooler.write().await?;
    let (responded, outbox) = commands::respond(&mut tx, who.user_id, response, now).await?;
    tx.commit().await?;
    notifier.publish(outbox);
    Ok((StatusCode::CREATED, Json(responded)))
}

/// The offers about a job.
#[derive(Serialize, ToSchema)]
pub(super) struct HistoryView {
    pub job_id: JobId,
    pub current_status: NegotiationStatus,
    /// The offer that waits for an answer.
    pub current_offer: Option<CurrentOfferView>,
    /// The customer's budget, in dollars; 0 without one.
    pub original_price: Cents,
    /// The date the customer asked for.
    pub original_date: Option<Timestamp>,
    /// Oldest first; the newest 100.
    pub offers: Vec<OfferView>,
}

/// Whether an offer waits for an answer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum NegotiationStatus {
    /// One does.
    AwaitingResponse,
    /// None does.
    NoActiveNegotiation,
}

/// The offer that waits for an answer, and what it would change.
#[derive(Serialize, ToSchema)]
pub(super) struct CurrentOfferView {
    #[serde(flatten)]
    pub offer: OfferView,
    /// The customer's name, or the provider's business.
    pub offered_by_name: String,
    /// The customer's budget, in dollars; 0 without one.
    pub original_price: Cents,
    /// The date the customer asked for.
    pub original_date: Option<Timestamp>,
}

/// Lists the offers about a job that were made with its present provider.
///
/// # Errors
/// 404 no such job, or not one of its parties.
#[utoipa::path(get, path = "/chat/negotiation/job/{jobId}/history", tag = "negotiation",
    security(("access_token" = [])), params(("jobId" = JobId, Path)),
    responses(
        (status = 200, body = HistoryView),
        (status = 404, description = "No such job, or not one of its parties"),
    ))]
async fn history(State(pooler): State<Pooler>, who: Caller, Path(id): Path<JobId>) -> Result<Json<HistoryView>> {
    let history = queries::find_history(&pooler, id, who.user_id, MAX_LIMIT).await?;
    history.map(Json).ok_or(Error::NotFound("job"))
}
