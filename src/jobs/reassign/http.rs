//! `/jobs/{id}/alternative-providers`, `/jobs/{id}/reassign` and `/jobs/{id}/resend`: a customer's actions when the
//! provider does not answer or rejects.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use crate::auth::Customer;
use crate::chat::job_chats::{self, Party};
use crate::error::{Error, Result, invalid};
use crate::jobs::booking::{self, ChatCreatedView, CreatedView, FirstMessage, JobCreatedView};
use crate::jobs::transition::Job;
use crate::jobs::types::Command;
use crate::notifications::{NewNotification, NotificationType};
use crate::outbox::{Notifier, Outbox};
use crate::state::ApiState;
use crate::types::{Cents, JobId, JobStatus, ProviderId, ServiceId, Timestamp, UserId};
use crate::web::extract::{Json, Path};
use crate::web::fields::Fields;
use doors::{Pooler, Tx};

/// The most alternatives in one answer.
const MAX_ALTERNATIVES: i64 = 20;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(alternatives)).routes(routes!(reassign)).routes(routes!(resend))
}

/// The providers who could take over a job.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AlternativesView {
    pub service: WantedServiceView,
    /// Where the service is wanted.
    pub zipcode: String,
    /// The best rated first, at most 20.
    pub providers: Vec<AlternativeView>,
    /// The total number of matches.
    pub total_matches: i64,
}

/// The service that the customer wants.
#[derive(Serialize, ToSchema)]
pub(super) struct WantedServiceView {
    pub id: ServiceId,
    pub name: String,
    pub category: String,
}

/// A provider who could take over the job.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AlternativeView {
    pub id: ProviderId,
    pub business_name: String,
    pub owner_name: String,
    /// 1 to 5; 0 without a review.
    pub rating: f64,
    pub total_jobs: i32,
    /// Years; 0 if unknown.
    pub experience: i32,
    /// In the provider's words, or the region.
    pub location: String,
    pub min_price: Option<Cents>,
    pub max_price: Option<Cents>,
    /// ZIP codes, the primary one first.
    pub service_areas: Vec<String>,
}

/// Lists the active providers, except the present one, who offer the job's service at its ZIP code.
///
/// # Errors
/// 404 no such job, or somebody else's.
#[utoipa::path(get, path = "/jobs/{id}/alternative-providers", tag = "jobs", security(("customer" = [])),
    params(("id" = JobId, Path)),
    responses(
        (status = 200, body = AlternativesView),
        (status = 404, description = "No such job, or somebody else's"),
    ))]
async fn alternatives(
    State(pooler): State<Pooler>,
    who: Customer,
    Path(id): Path<JobId>,
) -> Result<Json<AlternativesView>> {
    let found = queries::list_alternatives(&pooler, id, who.user_id, MAX_ALTERNATIVES).await?;
    found.map(Json).ok_or(Error::NotFound("job"))
}

/// The new provider of a job, and the terms.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReassignRequest {
    #[schema(value_type = ProviderId)]
    new_provider_id: Option<ProviderId>,
    /// In dollars; the first budget by default.
    customer_budget: Option<Cents>,
    /// ISO-8601; the present date by default.
    preferred_date: Option<String>,
}

/// A request without faults.
struct Reassignment {
    provider_id: ProviderId,
    customer_budget: Option<Cents>,
    scheduled_at: Option<DateTime<Utc>>,
}

impl ReassignRequest {
    fn check(self, now: DateTime<Utc>) -> Result<Reassignment> {
        let mut rules = Fields::new();
        let scheduled_at = rules.appointment("preferredDate", self.preferred_date.as_deref(), now);
        rules.check("newProviderId", self.new_provider_id.is_some(), "must be a provider's id");
        rules.finish()?;
        let provider_id = self.new_provider_id.ok_or(Error::Malformed("newProviderId".into()))?;
        Ok(Reassignment { provider_id, customer_budget: self.customer_budget, scheduled_at })
    }
}

/// Reassigns a new or rejected job to another provider. The old chat is closed and kept; a new one is opened.
///
/// # Errors
/// 400 a field breaks a rule, or the provider cannot be booked for it. 404 no such job or provider. 409 the job's state
/// does not allow it, or it is this provider's already.
#[utoipa::path(post, path = "/jobs/{id}/reassign", tag = "jobs", security(("customer" = [])),
    params(("id" = JobId, Path)), request_body = ReassignRequest,
    responses(
        (status = 201, body = CreatedView),
        (status = 400, description = "A field breaks a rule, or the provider cannot be booked for it"),
        (status = 404, description = "No such job or provider, or somebody else's job"),
        (status = 409, description = "The job's state does not allow it, or it is this provider's already"),
    ))]
async fn reassign(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Customer,
    Path(id): Path<JobId>,
    Json(request): Json<ReassignRequest>,
) -> Result<(StatusCode, Json<CreatedView>)> {
    let now = Utc::now();
    let reassignment = request.check(now)?;
    let mut tx = pooler.write().await?;
    let job = Job::load_for_update(&mut tx, id, who.user_id).await?;
    let (view, outbox) = reassign_to(&mut tx, &job, who.user_id, &reassignment, now).await?;
    tx.commit().await?;
    notifier.publish(outbox);
    Ok((StatusCode::CREATED, Json(view)))
}

async fn reassign_to(
    tx: &mut Tx<Pooler>,
    job: &Job,
    customer: UserId,
    to: &Reassignment,
    now: DateTime<Utc>,
) -> Result<(CreatedView, Outbox)> {
    let row = &job.row;
    let price = to.customer_budget.or(row.customer_budget);
    let transition = job.apply(Command::Reassign { price, scheduled_at: to.scheduled_at }, now)?;
    let state = &transition.change.state;
    if state.scheduled_at.is_some_and(|date| date < now - chrono::Duration::days(1)) {
        return Err(invalid("preferredDate", "must be given: the present date has passed"));
    }
    if to.provider_id == row.provider_id {
        return Err(Error::Conflict("same_provider", "this job is with this provider already".into()));
    }
    let provider =
        booking::queries::lock_successor(tx, row.customer_id, row.service_id, to.provider_id, &row.zipcode).await?;
    let provider = provider.ok_or(Error::NotFound("service or provider"))?;
    provider.availability.check()?;

    let mut outbox = job.store(tx, &transition).await?.outbox;
    let created_at = queries::set_provider(tx, row.id, to.provider_id, price, state.scheduled_at).await?;
    job_chats::close(tx, row.id, now).await?;
    let place = row.location.as_deref().unwrap_or(&row.zipcode);
    let (service, name) = (&provider.service_name, &row.parties.customer_name);
    let (scheduled_at, answers, images) = (state.scheduled_at, &row.answers, &row.images);
    let opening = FirstMessage { place, scheduled_at, budget: price, answers, images }.opening();
    let customer = Party { user: customer, text: name.as_str() };
    let template = Party { user: provider.user_id, text: provider.first_message_template.as_deref() };
    let chat = job_chats::open(tx, row.id, row.parties.chat_id, service, customer, template, &opening).await?;
    let message = format!("{name}{}{service}", booking::REQUESTED);
    let requested = booking::new_request(provider.user_id, message, row.id, chat.id);
    outbox.notify(tx, std::iter::once(requested).chain(no_longer_yours(job, service))).await?;
    let view = CreatedView {
        job: JobCreatedView {
            id: row.id,
            status: state.status,
            location: place.to_owned(),
            service: provider.service_name,
            scheduled_at: state.scheduled_at.map(Timestamp),
            response_deadline: Timestamp(state.response_deadline),
            created_at: Timestamp(created_at),
        },
        chat: ChatCreatedView { id: chat.id, created_at: Timestamp(chat.created_at) },
        message: "Job request sent to the other provider.",
    };
    Ok((view, outbox))
}

/// The notification for the former provider, unless it had rejected the job.
fn no_longer_yours(job: &Job, service: &str) -> Option<NewNotification> {
    let parties = &job.row.parties;
    (job.row.state.status == JobStatus::New).then(|| NewNotification {
        recipient_id: parties.provider_user_id,
        kind: NotificationType::Job,
        title: "Job given to another provider".into(),
        message: format!("{} has given {service} to another provider", parties.customer_name),
        metadata: serde_json::json!({"jobId": job.row.id, "chatId": parties.chat_id}),
    })
}

/// A request that was sent again.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ResentView {
    job_id: JobId,
    status: JobStatus,
    /// The deadline for the provider to answer.
    response_deadline: Timestamp,
    message: &'static str,
}

/// Sends the request to the same provider again, with a new deadline.
///
/// # Errors
/// 404 no such job, or somebody else's. 409 the job's state does not allow it.
#[utoipa::path(post, path = "/jobs/{id}/resend", tag = "jobs", security(("customer" = [])),
    params(("id" = JobId, Path)),
    responses(
        (status = 201, body = ResentView),
        (status = 404, description = "No such job, or somebody else's"),
        (status = 409, description = "The job's state does not allow it"),
    ))]
async fn resend(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Customer,
    Path(id): Path<JobId>,
) -> Result<(StatusCode, Json<ResentView>)> {
    let mut tx = pooler.write().await?;
    let job = Job::load_for_update(&mut tx, id, who.user_id).await?;
    let transition = job.apply(Command::Resend, Utc::now())?;
    let stored = job.store(&mut tx, &transition).await?;
    tx.commit().await?;
    notifier.publish(stored.outbox);
    let view = ResentView {
        job_id: id,
        status: transition.change.state.status,
        response_deadline: Timestamp(transition.change.state.response_deadline),
        message: "Job request sent again. The service provider has been notified.",
    };
    Ok((StatusCode::CREATED, Json(view)))
}
