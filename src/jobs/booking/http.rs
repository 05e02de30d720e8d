//! `/jobs/create` and `/customer/booking`: one handler, two names, because clients call both.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use super::types::{Booked, Booking, NOT_OURS};
use crate::auth::Customer;
use crate::error::{Error, Result};
use crate::files::{Audience, FileId, FileUrls};
use crate::idempotency::{Keyed, StoredAnswer, once};
use crate::notifications::{Created, NewNotification, NotificationType};
use crate::outbox::{Notifier, Outbox};
use crate::state::ApiState;
use crate::types::{Cents, ChatId, JobId, JobStatus, ProviderId, ServiceId, Timestamp, UserId};
use crate::web::docs;
use crate::web::fields::{Fields, SHORT_TEXT};
use doors::{Pooler, Tx};

/// The most pictures of a job.
const MAX_IMAGES: usize = 20;

/// The title of a provider's notification.
pub(crate) const NEW_REQUEST: &str = "New job request";

/// The text of a provider's notification, between the customer's name and the service's.
pub(crate) const REQUESTED: &str = " has requested ";

/// The largest answers to a service's questions, as JSON, in bytes.
const MAX_ANSWERS_BYTES: usize = 16 * 1024;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(create)).routes(routes!(booking))
}

/// A booking.
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
    answers: Option<serde_json::Value>,
    /// ISO-8601; without a time zone it is UTC.
    preferred_date: Option<String>,
    requires_in_person_visit: Option<bool>,
    in_person_visit_cost: Option<Cents>,
    customer_budget: Option<Cents>,
    /// URLs that POST /jobs/images/upload has returned, or http and https URLs from elsewhere.
    images: Option<Vec<String>>,
    project_size_sqft: Option<i32>,
}

/// A new job and its chat.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatedView {
    pub job: JobCreatedView,
    /// The chat about it.
    pub chat: ChatCreatedView,
    pub message: &'static str,
}

/// A new job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobCreatedView {
    pub id: JobId,
    /// Always `new`.
    pub status: JobStatus,
    /// The service's name.
    pub service: String,
    /// Where: in the customer's words, or the ZIP code.
    pub location: String,
    pub scheduled_at: Option<Timestamp>,
    /// The deadline for the provider to answer.
    pub response_deadline: Timestamp,
    /// When it was first requested.
    pub created_at: Timestamp,
}

/// A new chat.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatCreatedView {
    pub id: ChatId,
    pub created_at: Timestamp,
}

/// Books a provider.
///
/// # Errors
/// 400 a field breaks a rule, or the provider cannot be booked for it. 403 not a customer, or banned.
/// 404 no such service or provider. 409 another job must be settled first.
#[utoipa::path(post, path = "/jobs/create", tag = "jobs", security(("customer" = [])),
    params(docs::IdempotencyKey), request_body = CreateRequest,
    responses(
        (status = 201, body = CreatedView),
        (status = 400, description = "A field breaks a rule, or the provider cannot be booked for it"),
        (status = 403, description = "Not a customer, or banned"),
        (status = 404, description = "No such service or provider"),
        (status = 409, description = "Another job must be settled first"),
    ))]
async fn create(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    State(urls): State<FileUrls>,
    who: Customer,
    request: Keyed<CreateRequest>,
) -> Result<StoredAnswer> {
    let check = |request: CreateRequest| request.check(who.user_id, &urls, Utc::now());
    let (answer, outbox) =
        once(&pooler, who.user_id, request, check, async |tx, booking| book(tx, who, booking).await).await?;
    notifier.publish(outbox);
    Ok(answer)
}

/// Books a provider: the same as POST /jobs/create.
///
/// # Errors
/// Those of POST /jobs/create.
#[utoipa::path(post, path = "/customer/booking", tag = "jobs", security(("customer" = [])),
    params(docs::IdempotencyKey), request_body = CreateRequest,
    responses(
        (status = 201, body = CreatedView),
        (status = 400, description = "A field breaks a rule, or the provider cannot be booked for it"),
        (status = 403, description = "Not a customer, or banned"),
        (status = 404, description = "No such service or provider"),
        (status = 409, description = "Another job must be settled first"),
    ))]
async fn booking(
    pooler: State<Pooler>,
    notifier: State<Notifier>,
    urls: State<FileUrls>,
    who: Customer,
    request: Keyed<CreateRequest>,
) -> Result<StoredAnswer> {
    create(pooler, notifier, urls, who, request).await
}

async fn book(tx: &mut Tx<Pooler>, who: Customer, booking: Booking) -> Result<(StatusCode, CreatedView, Outbox)> {
    let attempt = queries::book(tx, who.user_id, &booking).await?.ok_or(Error::NotFound("customer"))?;
    let (service, booked) = attempt.check()?;
    let view = CreatedView {
        job: JobCreatedView {
            id: booked.job,
            status: JobStatus::New,
            location: booking.place().to_owned(),
            service,
            scheduled_at: booking.scheduled_at.map(Timestamp),
            response_deadline: booked.response_deadline.into(),
            created_at: booked.created_at.into(),
        },
        chat: ChatCreatedView { id: booked.chat, created_at: booked.chat_created_at.into() },
        message: "Job request created successfully. The service provider has been notified.",
    };
    let mut outbox = Outbox::default();
    outbox.notified(notification(booked));
    Ok((StatusCode::CREATED, view, outbox))
}

/// The provider's notification, which was inserted with the booking.
fn notification(booked: Booked) -> Created {
    let new = new_request(booked.provider, booked.notice, booked.job, booked.chat);
    Created::new(new, booked.notification, booked.provider_role, booked.notified_at, booked.unread)
}

/// The notification of a provider who is asked to take a job.
pub(crate) fn new_request(provider: UserId, message: String, job: JobId, chat: ChatId) -> NewNotification {
    NewNotification {
        recipient_id: provider,
        kind: NotificationType::Job,
        title: NEW_REQUEST.into(),
        message,
        metadata: serde_json::json!({"jobId": job, "chatId": chat}),
    }
}

/// The pictures as they are stored, and those of them that are files of ours.
fn images(rules: &mut Fields, given: Vec<String>, who: UserId, urls: &FileUrls) -> (Vec<String>, Vec<FileId>) {
    rules.check("images", given.len() <= MAX_IMAGES, "must be at most 20");
    let (mut images, mut files) = (Vec::new(), Vec::new());
    for (index, image) in given.into_iter().take(MAX_IMAGES).enumerate() {
        let field = format!("images[{index}]");
        match urls.own_file(&image, &[Audience::Uploader(who)]) {
            None => {
                rules.web_url(field, &image);
                images.push(image);
            }
            Some(Ok(file)) => {
                images.push(file.reference);
                files.push(file.id);
            }
            Some(Err(())) => rules.refuse(field, NOT_OURS),
        }
    }
    (images, files)
}

impl CreateRequest {
    fn check(self, who: UserId, urls: &FileUrls, now: DateTime<Utc>) -> Result<Booking> {
        let mut rules = Fields::new();
        rules.check("serviceId", self.service_id.is_some(), "must be a service's id");
        rules.check("providerId", self.provider_id.is_some(), "must be a provider's id");
        let zipcode = rules.zip_code("zipcode", self.zipcode.as_deref());
        let location = rules.optional_text("location", self.location, SHORT_TEXT);

        let answers = self.answers.filter(|answers| !answers.is_null()).unwrap_or_else(|| serde_json::json!({}));
        rules.check("answers", answers.is_object() || answers.is_array(), "must be an object or a list");
        rules.check("answers", answers.to_string().len() <= MAX_ANSWERS_BYTES, "must be at most 16384 bytes of JSON");

        let scheduled_at = rules.appointment("preferredDate", self.preferred_date.as_deref(), now);

        let (images, files) = images(&mut rules, self.images.unwrap_or_default(), who, urls);
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
            files,
            project_size_sqft: self.project_size_sqft,
        })
    }
}
