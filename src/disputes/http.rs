//! `/customers/disputes`: a customer disputes a job.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::Utc;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use crate::auth::Customer;
use crate::error::{Error, Result};
use crate::idempotency::{Keyed, StoredAnswer, once};
use crate::jobs::{Command, Job};
use crate::notifications::{NewNotification, NotificationType};
use crate::outbox::Notifier;
use crate::state::ApiState;
use crate::types::{DisputeId, JobId, UserId};
use crate::web::docs;
use crate::web::fields::{Fields, LONG_TEXT};
use doors::Pooler;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(dispute))
}

/// A complaint about a job.
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

/// Disputes one of the caller's completed or paid jobs. A repetition with the same `Idempotency-Key` receives the
/// first answer.
///
/// # Errors
/// 400 a field breaks a rule. 404 no such job, or somebody else's. 409 the job is not done yet, or has an open dispute.
/// 422 the key was used for another request.
#[utoipa::path(post, path = "/customers/disputes", tag = "disputes", security(("customer" = [])),
    params(docs::IdempotencyKey), request_body = DisputeRequest,
    responses(
        (status = 201, body = DisputeCreatedView),
        (status = 404, description = "No such job, or somebody else's"),
        (status = 409, description = "The job is not done yet, or has an open dispute"),
    ))]
async fn dispute(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Customer,
    request: Keyed<DisputeRequest>,
) -> Result<StoredAnswer> {
    let (answer, outbox) = once(&pooler, who.user_id, request, DisputeRequest::check, async |tx, (id, description)| {
        let job = Job::load_for_update(tx, id, who.user_id).await?;
        let transition = job.apply(Command::Dispute, Utc::now())?;
        queries::lock_lsm(tx, id).await?;
        let (dispute_id, lsm) = queries::insert(tx, id, &description).await?.ok_or_else(|| {
            Error::Conflict("dispute_open", "this job has an open dispute: your LSM will resolve it".into())
        })?;
        let mut outbox = job.store(tx, &transition).await?.outbox;
        outbox.notify(tx, notifications_of(dispute_id, &job, lsm)).await?;
        let message = "Dispute filed. The local service manager has been notified.";
        Ok((StatusCode::CREATED, DisputeCreatedView { dispute_id, message }, outbox))
    })
    .await?;
    notifier.publish(outbox);
    Ok(answer)
}

impl DisputeRequest {
    fn check(self) -> Result<(JobId, String)> {
        let mut rules = Fields::new();
        rules.check("jobId", self.job_id.is_some(), "must be a job's id");
        let description = rules.text("description", self.description, LONG_TEXT);
        rules.finish()?;
        Ok((self.job_id.ok_or(Error::NotFound("job"))?, description))
    }
}

/// The notifications of the LSM and the provider.
fn notifications_of(id: DisputeId, job: &Job, lsm: UserId) -> [NewNotification; 2] {
    let parties = &job.row.parties;
    let (customer, service, business) = (&parties.customer_name, &parties.service_name, &parties.business_name);
    let notification = |recipient_id, title: &'static str, message| NewNotification {
        recipient_id,
        kind: NotificationType::Job,
        title: title.into(),
        message,
        metadata: serde_json::json!({"disputeId": id, "jobId": job.row.id, "chatId": parties.chat_id}),
    };
    [
        notification(
            lsm,
            "New dispute",
            format!("{customer} disputes {service} by {business}: join their chat and resolve it"),
        ),
        notification(
            parties.provider_user_id,
            "Job disputed",
            format!("{customer} disputes {service}: your LSM will resolve it"),
        ),
    ]
}
