//! `/customers/jobs/{id}/feedback` and `/customers/pending-feedback`: reviews by the calling customer.

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
use crate::reviews::types::{Feedback, LOW_RATING};
use crate::state::ApiState;
use crate::types::{Cents, JobId, Timestamp, UserId};
use crate::web::MessageView;
use crate::web::docs;
use crate::web::extract::{Json, Path};
use crate::web::fields::{Fields, LONG_TEXT};
use doors::{Pooler, Tx};

/// The longest response time: a year, in minutes.
const MAX_RESPONSE_TIME_MINUTES: i32 = 366 * 24 * 60;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(give_feedback)).routes(routes!(pending_feedback))
}

/// A review.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct FeedbackRequest {
    /// 1 to 5.
    #[schema(value_type = i16)]
    rating: Option<i16>,
    /// Required below 3 stars; at most 4,000 characters.
    feedback: Option<String>,
    /// 1 to 5.
    punctuality_rating: Option<i16>,
    /// How long the provider took to answer, in minutes.
    response_time: Option<i32>,
}

impl FeedbackRequest {
    fn check(self) -> Result<Feedback> {
        let mut rules = Fields::new();
        let is_rating = |rating: i16| (1..=5).contains(&rating);
        let rating = self.rating.unwrap_or_default();
        rules.check("rating", is_rating(rating), "must be 1 to 5");
        let is_said = self.feedback.as_deref().is_some_and(|text| !text.trim().is_empty());
        let text = rules.optional_text("feedback", self.feedback, LONG_TEXT);
        rules.check("feedback", is_said || !(1..LOW_RATING).contains(&rating), "must say why it is less than 3 stars");
        rules.check("punctualityRating", self.punctuality_rating.is_none_or(is_rating), "must be 1 to 5");
        let is_time = |minutes: i32| (0..=MAX_RESPONSE_TIME_MINUTES).contains(&minutes);
        rules.check("responseTime", self.response_time.is_none_or(is_time), "must be 0 to 527040 minutes");
        rules.finish()?;
        Ok(Feedback {
            rating,
            text,
            punctuality_rating: self.punctuality_rating,
            response_time_minutes: self.response_time,
        })
    }
}

/// Reviews one of the caller's paid jobs, once. A repetition with the same `Idempotency-Key` receives the first answer.
///
/// # Errors
/// 400 a field breaks a rule. 404 no such job, or somebody else's. 409 the job is not paid, or has a review.
/// 422 the key was used for another request.
#[utoipa::path(post, path = "/customers/jobs/{id}/feedback", tag = "reviews", security(("customer" = [])),
    params(("id" = JobId, Path), docs::IdempotencyKey), request_body = FeedbackRequest,
    responses(
        (status = 200, body = MessageView),
        (status = 404, description = "No such job, or somebody else's"),
        (status = 409, description = "The job is not paid, or has a review"),
    ))]
async fn give_feedback(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Customer,
    Path(id): Path<JobId>,
    request: Keyed<FeedbackRequest>,
) -> Result<StoredAnswer> {
    let (answer, outbox) = once(&pooler, who.user_id, request, FeedbackRequest::check, async |tx, feedback| {
        let job = Job::load_for_update(tx, id, who.user_id).await?;
        let transition = job.apply(Command::Review, Utc::now())?;
        insert(tx, &job, &feedback).await?;
        let mut outbox = job.store(tx, &transition).await?.outbox;
        outbox.notify(tx, notifications_of(&job, feedback.rating)).await?;
        Ok((StatusCode::OK, MessageView::new("Feedback submitted successfully"), outbox))
    })
    .await?;
    notifier.publish(outbox);
    Ok(answer)
}

async fn insert(tx: &mut Tx<Pooler>, job: &Job, feedback: &Feedback) -> Result<()> {
    let provider = job.row.provider_id;
    // A provider's reviews are inserted one after the other, so that its rating is the mean of all.
    queries::lock_provider(tx, provider).await?;
    if !queries::insert(tx, job.row.id, job.row.customer_id, provider, feedback).await? {
        return Err(Error::Conflict("already_reviewed", "this job has your review already".into()));
    }
    queries::set_rating(tx, provider).await?;
    Ok(())
}

/// The notifications for the provider, and for its LSM if the rating is low.
fn notifications_of(job: &Job, rating: i16) -> Vec<NewNotification> {
    let row = &job.row;
    let parties = &row.parties;
    let (customer, business, service) = (&parties.customer_name, &parties.business_name, &parties.service_name);
    let stars = if rating == 1 { "1 star".to_owned() } else { format!("{rating} stars") };
    let notification = |recipient_id: UserId, title: &'static str, message: String| NewNotification {
        recipient_id,
        kind: NotificationType::Feedback,
        title: title.into(),
        message,
        metadata: serde_json::json!({"jobId": row.id, "providerId": row.provider_id, "rating": rating}),
    };
    let mut notifications = vec![notification(
        parties.provider_user_id,
        "New review",
        format!("{customer} gave you {stars} for {service}"),
    )];
    if rating < LOW_RATING {
        notifications.push(notification(
            parties.lsm_user_id,
            "Low rating",
            format!("{customer} gave {business} {stars} for {service}"),
        ));
    }
    notifications
}

/// The jobs that the caller can review.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PendingFeedbackView {
    /// The total number of matches.
    pending_count: i64,
    /// Newest first, at most 100.
    jobs: Vec<UnreviewedJobView>,
}

/// A paid job without a review.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct UnreviewedJobView {
    pub job_id: JobId,
    /// The service's name.
    pub service: String,
    /// The name of the business.
    pub provider: String,
    pub completed_at: Timestamp,
    /// What was paid.
    pub amount: Cents,
}

/// Lists the calling customer's paid jobs without a review.
#[utoipa::path(get, path = "/customers/pending-feedback", tag = "reviews", security(("customer" = [])),
    responses((status = 200, body = PendingFeedbackView)))]
async fn pending_feedback(State(pooler): State<Pooler>, who: Customer) -> Result<Json<PendingFeedbackView>> {
    let (jobs, pending_count) = queries::list_unreviewed(&pooler, who.user_id).await?;
    Ok(Json(PendingFeedbackView { pending_count, jobs }))
}
