//! `/customers/disputes`: a customer disputes a job.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use crate::auth::Customer;
use crate::db::Pooler;
use crate::error::{Error, Result};
use crate::idempotency::{self, Answer, Begun, Once};
use crate::jobs::{self, Action, Locked};
use crate::notifications::{self, NewNotification, NotificationType};
use crate::outbox::Notifier;
use crate::state::ApiState;
use crate::types::{DisputeId, JobId};
use crate::web::fields::{Fields, LONG_TEXT};
use chrono::Utc;

pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(dispute))
}

/// What went wrong.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DisputeRequest {
    #[schema(value_type = JobId)]
    job_id: Option<JobId>,
    /// At most 4,000 characters.
    #[schema(value_type = String)]
    description: Option<String>,
}

/// A new dispute.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DisputeCreatedView {
    dispute_id: DisputeId,
    message: &'static str,
}

/// Disputes a completed or paid job of the caller's. With an `Idempotency-Key` a repetition gets the first answer again.
///
/// # Errors
/// 400 a field breaks a rule. 404 no such job, or somebody else's. 409 the job is not done yet, or has an open dispute.
/// 422 the key was used for another request.
#[utoipa::path(post, path = "/customers/disputes", tag = "disputes", security(("access_token" = [])), request_body = DisputeRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "Repeats get the first answer")),
    responses((status = 201, body = DisputeCreatedView), (status = 400, description = "A field breaks a rule"), (status = 403, description = "Not a customer"), (status = 404, description = "No such job, or somebody else's"), (status = 409, description = "The job is not done yet, or has an open dispute"), (status = 422, description = "The Idempotency-Key was used for another request")))]
async fn dispute(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Customer,
    request: Once<DisputeRequest>,
) -> Result<Answer> {
    let DisputeRequest { job_id, description } = request.body;
    let mut rules = Fields::new();
    rules.check("jobId", job_id.is_some(), "must be a job's id");
    let description = rules.text("description", description, LONG_TEXT);
    rules.finish()?;
    let id = job_id.ok_or(Error::NotFound("job"))?;

    let mut tx = pooler.write().await?;
    let unanswered = match idempotency::begin(&mut tx, who.user_id, request.key).await? {
        Begun::Before(answer) => return Ok(answer),
        Begun::Now(unanswered) => unanswered,
    };
    let job = jobs::lock(&mut tx, id, who.user_id).await?;
    job.state.check(job.actor, Action::Dispute, Utc::now())?;
    let dispute_id = queries::insert(&mut tx, id, job.parties.lsm_id, &description).await?;
    let dispute_id = dispute_id.ok_or_else(|| {
        Error::Conflict("dispute_open", "this job has an open dispute: your LSM will settle it".into())
    })?;
    jobs::queries::insert_event(&mut tx, id, who.user_id, Action::Dispute, job.state.status, None).await?;
    let mut told = Vec::with_capacity(2);
    for notification in notifications_of(dispute_id, &job) {
        told.push(notifications::queries::insert(&mut tx, notification).await?);
    }
    let view =
        DisputeCreatedView { dispute_id, message: "Dispute filed. The local service manager has been notified." };
    let answer = unanswered.finish(&mut tx, StatusCode::CREATED, &view).await?;
    tx.commit().await?;
    notifier.tell(told);
    Ok(answer)
}

/// The LSM and the provider are told.
fn notifications_of(id: DisputeId, job: &Locked) -> [NewNotification; 2] {
    let parties = &job.parties;
    let (customer, service, business) = (&parties.customer_name, &parties.service_name, &parties.business_name);
    let tell = |recipient_id, title: &'static str, message| NewNotification {
        recipient_id,
        kind: NotificationType::Job,
        title: title.into(),
        message,
        metadata: serde_json::json!({"disputeId": id, "jobId": job.row.id, "chatId": parties.chat_id}),
    };
    [
        tell(
            parties.lsm_user_id,
            "New dispute",
            format!("{customer} disputes {service} by {business}: join their chat and settle it"),
        ),
        tell(
            parties.provider_user_id,
            "Job disputed",
            format!("{customer} disputes {service}: your LSM will settle it"),
        ),
    ]
}
