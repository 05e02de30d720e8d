//! `/jobs/{id}/alternative-providers`, `/jobs/{id}/reassign` and `/jobs/{id}/resend`: what a customer can do when the
//! provider does not answer, or does not want to.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::booking::{self, ChatCreatedView, CreatedView, FirstMessage, JobCreatedView};
use super::reassign_queries::{self, AlternativeRow};
use super::types::{Action, Terms};
use super::{Command, carry_out, lock, queries, transition};
use crate::auth::Customer;
use crate::db::{Pooler, Tx};
use crate::error::{Error, Result, invalid};
use crate::notifications::{self, NewNotification, NotificationType};
use crate::outbox::Notifier;
use crate::state::ApiState;
use crate::types::{Cents, JobId, JobStatus, ProviderId, Timestamp, UserId};
use crate::web::dates::parse_appointment;
use crate::web::extract::{Json, Path};
use crate::web::fields::Fields;

/// The most alternatives in one answer.
const MAX_ALTERNATIVES: i64 = 20;

pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(alternatives)).routes(routes!(reassign)).routes(routes!(resend))
}

/// Who could take the job over.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AlternativesView {
    success: bool,
    /// The best rated first, at most 20.
    providers: Vec<AlternativeView>,
    /// How many there are.
    total_matches: i64,
    message: &'static str,
}

/// A provider who could take the job over.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AlternativeView {
    id: ProviderId,
    business_name: String,
    owner_name: String,
    /// 1 to 5; 0 without a review.
    rating: f64,
    total_jobs: i32,
    min_price: Option<Cents>,
    max_price: Option<Cents>,
    /// ZIP codes, the primary one first.
    service_areas: Vec<String>,
}

/// The active providers, but the present one, who offer the job's service at its ZIP code.
///
/// # Errors
/// 404 no such job, or somebody else's.
#[utoipa::path(get, path = "/jobs/{id}/alternative-providers", tag = "jobs", security(("access_token" = [])), params(("id" = JobId, Path)),
    responses((status = 200, body = AlternativesView), (status = 403, description = "Not a customer"), (status = 404, description = "No such job, or somebody else's")))]
async fn alternatives(
    State(pooler): State<Pooler>,
    who: Customer,
    Path(id): Path<JobId>,
) -> Result<Json<AlternativesView>> {
    let rows = reassign_queries::list_alternatives(&pooler, id, who.user_id, MAX_ALTERNATIVES).await?;
    let rows = rows.ok_or(Error::NotFound("job"))?;
    let total_matches = rows.first().map_or(0, |row| row.total);
    let message = if rows.is_empty() { "No other provider offers this service there" } else { "Other providers found" };
    let providers = rows.into_iter().map(Into::into).collect();
    Ok(Json(AlternativesView { success: true, providers, total_matches, message }))
}

/// To whom the job goes, and on which terms.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReassignRequest {
    #[schema(value_type = ProviderId)]
    new_provider_id: Option<ProviderId>,
    /// In dollars; the first budget if left out.
    customer_budget: Option<Cents>,
    /// ISO-8601; the present date if left out.
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
        let date = self.preferred_date.filter(|text| !text.trim().is_empty());
        let scheduled_at = date.as_deref().and_then(parse_appointment);
        rules.check("preferredDate", date.is_none() || scheduled_at.is_some(), "must be an ISO-8601 date");
        rules.appointment("preferredDate", scheduled_at, now);
        rules.check("newProviderId", self.new_provider_id.is_some(), "must be a provider's id");
        rules.finish()?;
        let provider_id = self.new_provider_id.ok_or(Error::Malformed("newProviderId".into()))?;
        Ok(Reassignment { provider_id, customer_budget: self.customer_budget, scheduled_at })
    }
}

/// Gives a new or rejected job to another provider: the old chat is closed and kept, a new one begins.
///
/// # Errors
/// 400 a field breaks a rule, or the provider cannot be booked for it. 404 no such job or provider. 409 the job's state
/// does not allow it, or it is this provider's already.
#[utoipa::path(post, path = "/jobs/{id}/reassign", tag = "jobs", security(("access_token" = [])), params(("id" = JobId, Path)), request_body = ReassignRequest,
    responses((status = 201, body = CreatedView), (status = 400, description = "A field breaks a rule, or the provider cannot be booked for it"), (status = 403, description = "Not a customer"), (status = 404, description = "No such job or provider, or somebody else's job"), (status = 409, description = "The job's state does not allow it, or it is this provider's already")))]
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
    let (view, told) = carry_out_reassignment(&mut tx, id, who.user_id, &reassignment, now).await?;
    tx.commit().await?;
    notifier.tell(told);
    Ok((StatusCode::CREATED, Json(view)))
}

async fn carry_out_reassignment(
    tx: &mut Tx<Pooler>,
    id: JobId,
    customer: UserId,
    to: &Reassignment,
    now: DateTime<Utc>,
) -> Result<(CreatedView, Vec<notifications::Created>)> {
    let locked = lock(tx, id, customer).await?;
    let (job, parties) = (&locked.row, &locked.parties);
    let budget = to.customer_budget.or(job.customer_budget_cents.map(Cents));
    let terms = Terms { price: budget, scheduled_at: to.scheduled_at };
    let outcome = locked.state.apply(locked.actor, Action::Reassign, terms, now, parties.settings)?;
    if outcome.state.scheduled_at.is_some_and(|date| date < now - chrono::Duration::days(1)) {
        return Err(invalid("preferredDate", "must be given: the present date has passed"));
    }
    if to.provider_id == job.provider_id {
        return Err(Error::Conflict("same_provider", "this job is with this provider already".into()));
    }
    let target =
        booking::queries::lock_offer(tx, job.customer_id, job.service_id, to.provider_id, &job.zipcode).await?;
    let target = target.ok_or(Error::NotFound("service or provider"))?;
    target.availability.check()?;

    transition::store(tx, job, &locked.state, &outcome, Action::Reassign, Some(customer), None, now).await?;
    let place = job.location.as_deref().unwrap_or(&job.zipcode);
    let first = FirstMessage {
        service: &target.service_name,
        place,
        scheduled_at: outcome.state.scheduled_at,
        budget,
        answers: &job.answers,
    };
    let template = target.first_message_template.as_deref();
    let lines = first.lines((customer, &parties.customer_name), (target.provider_user_id, template));
    let given = queries::set_provider(
        tx,
        id,
        to.provider_id,
        budget,
        outcome.state.scheduled_at,
        customer,
        target.provider_user_id,
        &lines,
    )
    .await?;

    let tell = |recipient_id, title: &'static str, message, chat| NewNotification {
        recipient_id,
        kind: NotificationType::Job,
        title: title.into(),
        message,
        metadata: serde_json::json!({"jobId": id, "chatId": chat}),
    };
    let (name, service) = (&parties.customer_name, &target.service_name);
    let request = format!("{name} has requested {service}");
    let mut news = vec![tell(target.provider_user_id, "New job request", request, Some(given.chat_id))];
    // Whoever has rejected it need not be told.
    if job.status == JobStatus::New {
        let message = format!("{name} has given {service} to another provider");
        news.push(tell(parties.provider_user_id, "Job given to another provider", message, parties.chat_id));
    }
    let mut told = Vec::with_capacity(news.len());
    for notification in news {
        told.push(notifications::queries::insert(tx, notification).await?);
    }
    let view = CreatedView {
        job: JobCreatedView {
            id,
            status: outcome.state.status,
            location: place.to_owned(),
            service: target.service_name,
            scheduled_at: outcome.state.scheduled_at.map(Timestamp),
            response_deadline: Timestamp(outcome.state.response_deadline),
            created_at: Timestamp(given.job_created_at),
        },
        chat: ChatCreatedView { id: given.chat_id, created_at: Timestamp(given.chat_created_at) },
        message: "Job request sent to the other provider.",
    };
    Ok((view, told))
}

/// The provider has time to answer again.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ResentView {
    job_id: JobId,
    status: JobStatus,
    /// Until when the provider should answer.
    response_deadline: Timestamp,
    message: &'static str,
}

/// Asks the same provider again: the deadline begins anew.
///
/// # Errors
/// 404 no such job, or somebody else's. 409 the job's state does not allow it.
#[utoipa::path(post, path = "/jobs/{id}/resend", tag = "jobs", security(("access_token" = [])), params(("id" = JobId, Path)),
    responses((status = 201, body = ResentView), (status = 403, description = "Not a customer"), (status = 404, description = "No such job, or somebody else's"), (status = 409, description = "The job's state does not allow it")))]
async fn resend(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Customer,
    Path(id): Path<JobId>,
) -> Result<(StatusCode, Json<ResentView>)> {
    let mut tx = pooler.write().await?;
    let done = carry_out(&mut tx, Command::new(id, who.user_id, Action::Resend), Utc::now()).await?;
    tx.commit().await?;
    notifier.spread(done.news);
    let view = ResentView {
        job_id: id,
        status: done.state.status,
        response_deadline: Timestamp(done.state.response_deadline),
        message: "Job request sent again. The service provider has been notified.",
    };
    Ok((StatusCode::CREATED, Json(view)))
}

impl From<AlternativeRow> for AlternativeView {
    fn from(row: AlternativeRow) -> Self {
        Self {
            id: row.id,
            business_name: row.business_name,
            owner_name: row.owner_name,
            rating: row.rating,
            total_jobs: row.total_jobs,
            min_price: row.min_price_cents.map(Cents),
            max_price: row.max_price_cents.map(Cents),
            service_areas: row.service_areas,
        }
    }
}
