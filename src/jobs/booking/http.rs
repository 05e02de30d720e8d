//! `/jobs/create` and `/customer/booking`: one handler, two names, because clients call both.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, CustomerRow, NewJob, OfferRow};
use super::types::{Booked, FirstMessage};
use crate::auth::Customer;
use crate::db::{Pooler, Tx};
use crate::error::{Error, Result};
use crate::idempotency::{self, Answer, Begun, Once};
use crate::notifications::{self, NewNotification, NotificationType};
use crate::outbox::Notifier;
use crate::state::ApiState;
use crate::types::{Cents, ChatId, JobId, JobStatus, ProviderId, ServiceId, Timestamp};
use crate::web::dates::parse_appointment;
use crate::web::fields::{Fields, SHORT_TEXT};

/// The most pictures of a job.
const MAX_IMAGES: usize = 20;

/// The largest answers to a service's questions, as JSON, in bytes.
const MAX_ANSWERS_BYTES: usize = 16 * 1024;

pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(create)).routes(routes!(booking))
}

/// What is booked, with whom, where and when.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CreateRequest {
    #[schema(value_type = ServiceId)]
    service_id: Option<ServiceId>,
    #[schema(value_type = ProviderId)]
    provider_id: Option<ProviderId>,
    #[schema(value_type = String)]
    zipcode: Option<String>,
    location: Option<String>,
    /// Answers to the service's questions.
    #[schema(value_type = Option<Object>)]
    answers: Option<serde_json::Value>,
    /// ISO-8601; without a time zone it is UTC.
    preferred_date: Option<String>,
    requires_in_person_visit: Option<bool>,
    in_person_visit_cost: Option<Cents>,
    customer_budget: Option<Cents>,
    /// http or https URLs.
    images: Option<Vec<String>>,
    project_size_sqft: Option<i32>,
}

/// A request without faults.
struct Booking {
    service_id: ServiceId,
    provider_id: ProviderId,
    zipcode: String,
    location: Option<String>,
    answers: serde_json::Value,
    scheduled_at: Option<DateTime<Utc>>,
    requires_in_person_visit: bool,
    in_person_visit_cost: Option<Cents>,
    customer_budget: Option<Cents>,
    images: Vec<String>,
    project_size_sqft: Option<i32>,
}

/// A new job and its chat.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedView {
    /// The job.
    pub job: JobCreatedView,
    /// The chat about it.
    pub chat: ChatCreatedView,
    /// A sentence.
    pub message: &'static str,
}

/// A new job.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobCreatedView {
    /// Id.
    pub id: JobId,
    /// New.
    pub status: JobStatus,
    /// The service's name.
    pub service: String,
    /// Where: in the customer's words, or the ZIP code.
    pub location: String,
    /// When.
    pub scheduled_at: Option<Timestamp>,
    /// Until when the provider should answer.
    pub response_deadline: Timestamp,
    /// When it was first requested.
    pub created_at: Timestamp,
}

/// A new chat.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChatCreatedView {
    /// Id.
    pub id: ChatId,
    /// Now.
    pub created_at: Timestamp,
}

/// Books a provider.
///
/// # Errors
/// 400 a field breaks a rule, or the provider cannot be booked for it. 403 not a customer, or banned.
/// 404 no such service or provider. 409 another job must be settled first.
#[utoipa::path(post, path = "/jobs/create", tag = "jobs", security(("access_token" = [])), request_body = CreateRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "Repeats get the first answer")),
    responses((status = 422, description = "The Idempotency-Key was used for another request"), (status = 201, body = CreatedView), (status = 400, description = "A field breaks a rule, or the provider cannot be booked for it"), (status = 403, description = "Not a customer, or banned"), (status = 404, description = "No such service or provider"), (status = 409, description = "Another job must be settled first")))]
async fn create(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Customer,
    request: Once<CreateRequest>,
) -> Result<Answer> {
    let mut tx = pooler.write().await?;
    let unanswered = match idempotency::begin(&mut tx, who.user_id, request.key).await? {
        Begun::Before(answer) => return Ok(answer),
        Begun::Now(unanswered) => unanswered,
    };
    // After the key: what was right when it was first sent is answered again, also when its date has passed since.
    let booking = request.body.check(Utc::now())?;
    let customer = queries::lock_customer(&mut tx, who.user_id).await?.ok_or(Error::NotFound("customer"))?;
    if customer.is_banned {
        return Err(Error::Forbidden("banned", "this account is banned"));
    }
    let offer =
        queries::lock_offer(&mut tx, customer.id, booking.service_id, booking.provider_id, &booking.zipcode).await?;
    let offer = offer.ok_or(Error::NotFound("service or provider"))?;
    offer.availability.check()?;
    offer.blocks.check()?;
    let booked = insert(&mut tx, who, &customer, &offer, &booking).await?;
    let created = notifications::queries::insert(&mut tx, notification(&customer, &offer, &booked)).await?;
    let view = CreatedView::new(&booked, offer, booking);
    let answer = unanswered.finish(&mut tx, StatusCode::CREATED, &view).await?;
    tx.commit().await?;
    notifier.tell([created]);
    Ok(answer)
}

/// Books a provider: the same as POST /jobs/create.
///
/// # Errors
/// As there.
#[utoipa::path(post, path = "/customer/booking", tag = "jobs", security(("access_token" = [])), request_body = CreateRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "Repeats get the first answer")),
    responses((status = 422, description = "The Idempotency-Key was used for another request"), (status = 201, body = CreatedView), (status = 400, description = "A field breaks a rule, or the provider cannot be booked for it"), (status = 403, description = "Not a customer, or banned"), (status = 404, description = "No such service or provider"), (status = 409, description = "Another job must be settled first")))]
async fn booking(
    pooler: State<Pooler>,
    notifier: State<Notifier>,
    who: Customer,
    request: Once<CreateRequest>,
) -> Result<Answer> {
    create(pooler, notifier, who, request).await
}

async fn insert(
    tx: &mut Tx<Pooler>,
    who: Customer,
    customer: &CustomerRow,
    offer: &OfferRow,
    booking: &Booking,
) -> sqlx::Result<Booked> {
    let place = booking.place();
    let first = FirstMessage {
        service: &offer.service_name,
        place,
        scheduled_at: booking.scheduled_at,
        budget: booking.customer_budget,
        answers: &booking.answers,
    };
    let template = offer.first_message_template.as_deref();
    let lines = first.lines((who.user_id, &customer.name), (offer.provider_user_id, template));
    let job = NewJob {
        customer_id: customer.id,
        provider_id: booking.provider_id,
        service_id: booking.service_id,
        price_cents: booking.customer_budget.map_or(0, |budget| budget.0),
        customer_budget_cents: booking.customer_budget.map(|budget| budget.0),
        zipcode: &booking.zipcode,
        location: booking.location.as_deref(),
        answers: &booking.answers,
        images: &booking.images,
        requires_in_person_visit: booking.requires_in_person_visit,
        in_person_visit_cost_cents: booking.in_person_visit_cost.map(|cost| cost.0),
        project_size_sqft: booking.project_size_sqft,
        scheduled_at: booking.scheduled_at,
        response_deadline: Utc::now() + Duration::minutes(offer.response_deadline_minutes.into()),
    };
    queries::insert(tx, &job, who.user_id, offer.provider_user_id, &lines).await
}

fn notification(customer: &CustomerRow, offer: &OfferRow, booked: &Booked) -> NewNotification {
    NewNotification {
        recipient_id: offer.provider_user_id,
        kind: NotificationType::Job,
        title: "New job request".into(),
        message: format!("{} has requested {}", customer.name, offer.service_name),
        metadata: serde_json::json!({"jobId": booked.job_id, "chatId": booked.chat_id}),
    }
}

impl Booking {
    /// Where, in the customer's words or as a ZIP code.
    fn place(&self) -> &str {
        self.location.as_deref().unwrap_or(&self.zipcode)
    }
}

impl CreatedView {
    fn new(booked: &Booked, offer: OfferRow, booking: Booking) -> Self {
        Self {
            job: JobCreatedView {
                id: booked.job_id,
                status: JobStatus::New,
                service: offer.service_name,
                location: booking.location.unwrap_or(booking.zipcode),
                scheduled_at: booking.scheduled_at.map(Timestamp),
                response_deadline: booked.response_deadline.into(),
                created_at: booked.created_at.into(),
            },
            chat: ChatCreatedView { id: booked.chat_id, created_at: booked.created_at.into() },
            message: "Job request created successfully. The service provider has been notified.",
        }
    }
}

impl CreateRequest {
    fn check(self, now: DateTime<Utc>) -> Result<Booking> {
        let mut rules = Fields::new();
        rules.check("serviceId", self.service_id.is_some(), "must be a service's id");
        rules.check("providerId", self.provider_id.is_some(), "must be a provider's id");
        let zipcode = rules.zip_code("zipcode", self.zipcode.as_deref());
        let location = rules.optional_text("location", self.location, SHORT_TEXT);

        let answers = self.answers.filter(|answers| !answers.is_null()).unwrap_or_else(|| serde_json::json!({}));
        rules.check("answers", answers.is_object() || answers.is_array(), "must be an object or a list");
        rules.check("answers", answers.to_string().len() <= MAX_ANSWERS_BYTES, "must be at most 16384 bytes of JSON");

        let preferred_date = self.preferred_date.filter(|text| !text.trim().is_empty());
        let scheduled_at = preferred_date.as_deref().and_then(parse_appointment);
        rules.check("preferredDate", preferred_date.is_none() || scheduled_at.is_some(), "must be an ISO-8601 date");
        rules.appointment("preferredDate", scheduled_at, now);

        let images = self.images.unwrap_or_default();
        rules.check("images", images.len() <= MAX_IMAGES, "must be at most 20");
        for (index, image) in images.iter().take(MAX_IMAGES).enumerate() {
            rules.web_url(format!("images[{index}]"), image);
        }
        rules.check("projectSizeSqft", self.project_size_sqft.is_none_or(|size| size > 0), "must be more than 0");

        let (Some(service_id), Some(provider_id)) = (self.service_id, self.provider_id) else {
            return Err(rules.finish().err().unwrap_or(Error::Malformed("serviceId and providerId".into())));
        };
        rules.finish()?;
        Ok(Booking {
            service_id,
            provider_id,
            zipcode,
            location,
            answers,
            scheduled_at,
            requires_in_person_visit: self.requires_in_person_visit.unwrap_or(false),
            in_person_visit_cost: self.in_person_visit_cost,
            customer_budget: self.customer_budget,
            images,
            project_size_sqft: self.project_size_sqft,
        })
    }
}
