//! `/customers/jobs/{id}` and `/provider/jobs/{id}`: a job for one of its two parties, with the actions open to it.

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, Details};
use crate::auth::{Customer, Provider};
use crate::error::{Error, Result};
use crate::files::FileUrls;
use crate::jobs::offers::OfferView;
use crate::jobs::types::{Action, CUSTOMER, JobState, PROVIDER};
use crate::state::ApiState;
use crate::types::{Cents, ChatId, JobId, JobStatus, ProviderId, Timestamp};
use crate::web::extract::{Json, Path};
use doors::Pooler;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(job_for_customer)).routes(routes!(job_for_provider))
}

/// A job as its customer sees it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CustomersJobView)]
struct CustomerJobView {
    job: JobDetailsView,
    provider: BookedProviderView,
    /// The payment that is due or received: for the work, or for a late cancellation.
    payment: Option<PaymentView>,
    /// The chat with the present provider.
    chat_id: Option<ChatId>,
    actions: CustomerActionsView,
}

/// A job as its provider sees it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ProvidersJobView)]
struct ProviderJobView {
    job: JobDetailsView,
    customer: BookingCustomerView,
    /// The payment that is due or received: for the work, or for a late cancellation.
    payment: Option<PaymentView>,
    /// The chat with the customer.
    chat_id: Option<ChatId>,
    actions: ProviderActionsView,
}

/// The job itself.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobDetailsView {
    pub id: JobId,
    /// The service's name.
    pub service: String,
    pub category: String,
    pub status: JobStatus,
    pub price: Cents,
    /// The answers given with the booking, the size of the project and whether a visit in person is wanted: plain values,
    /// to be shown line by line.
    #[schema(value_type = Object)]
    pub original_answers: Map<String, Value>,
    /// While an offer is open, what it would change: `price`, `schedule`, `notes`, `answers` and `proposedAt`, without those
    /// it leaves. Otherwise the answers with the changes of all accepted offers applied; null without changes.
    #[schema(value_type = Option<Object>)]
    pub edited_answers: Option<Map<String, Value>>,
    /// While new: whether the provider, or the customer, has agreed to the present terms.
    pub sp_accepted: bool,
    /// Whether an offer waits for an answer.
    pub pending_approval: bool,
    /// The offer that waits for an answer.
    pub offer: Option<OfferView>,
    /// Where: in the customer's words, or the ZIP code.
    pub location: String,
    /// URLs of pictures.
    pub images: Vec<String>,
    pub scheduled_at: Option<Timestamp>,
    /// While new: the deadline for the provider to answer.
    pub response_deadline: Timestamp,
    pub completed_at: Option<Timestamp>,
    pub paid_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// The booked provider.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = JobProviderView)]
pub(super) struct BookedProviderView {
    pub id: ProviderId,
    pub business_name: String,
    pub owner_name: String,
    /// E.164.
    pub phone: Option<String>,
    /// 1 to 5; 0 without a review.
    pub rating: f64,
    pub location: Option<String>,
}

/// The customer who booked.
#[derive(Serialize, ToSchema)]
pub(super) struct BookingCustomerView {
    pub name: String,
    /// E.164.
    pub phone: Option<String>,
    pub address: String,
}

/// A payment that is due or received.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PaymentView {
    pub amount: Cents,
    /// `pending` or `received`.
    pub status: String,
    /// `cash`, `card`, `bank_transfer` or `online`.
    pub method: Option<String>,
    /// When it was received.
    pub marked_at: Option<Timestamp>,
    pub notes: Option<String>,
}

/// The actions open to the customer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CustomersActionsView)]
#[expect(clippy::struct_excessive_bools, reason = "clients know them by these names")]
struct CustomerActionsView {
    can_approve_edits: bool,
    can_close_deal: bool,
    can_cancel: bool,
    can_give_feedback: bool,
    can_resend: bool,
    /// Whether the provider has missed the deadline.
    is_expired: bool,
}

/// The actions open to the provider.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ProvidersActionsView)]
struct ProviderActionsView {
    can_mark_complete: bool,
    can_mark_payment: bool,
}

/// Returns one of the calling customer's jobs.
///
/// # Errors
/// 404 no such job, or somebody else's.
#[utoipa::path(get, path = "/customers/jobs/{id}", tag = "jobs", security(("customer" = [])),
    params(("id" = JobId, Path)),
    responses(
        (status = 200, body = CustomerJobView),
        (status = 404, description = "No such job, or somebody else's"),
    ))]
async fn job_for_customer(
    State(pooler): State<Pooler>,
    State(urls): State<FileUrls>,
    who: Customer,
    Path(id): Path<JobId>,
) -> Result<Json<CustomerJobView>> {
    let details = queries::find(&pooler, &urls, id, who.user_id).await?.ok_or(Error::NotFound("job"))?;
    let actions = CustomerActionsView::new(&details.state, details.is_reviewed, Utc::now());
    let Details { job, provider, payment, chat_id, .. } = details;
    Ok(Json(CustomerJobView { job, provider, payment, chat_id, actions }))
}

/// Returns one of the calling provider's jobs.
///
/// # Errors
/// 404 no such job, or somebody else's: also one that the customer has given to another provider.
#[utoipa::path(get, path = "/provider/jobs/{id}", tag = "jobs", security(("provider" = [])),
    params(("id" = JobId, Path)),
    responses(
        (status = 200, body = ProviderJobView),
        (status = 404, description = "No such job, or somebody else's"),
    ))]
async fn job_for_provider(
    State(pooler): State<Pooler>,
    State(urls): State<FileUrls>,
    who: Provider,
    Path(id): Path<JobId>,
) -> Result<Json<ProviderJobView>> {
    let details = queries::find(&pooler, &urls, id, who.user_id).await?.ok_or(Error::NotFound("job"))?;
    let actions = ProviderActionsView::new(&details.state, Utc::now());
    let Details { job, customer, payment, chat_id, .. } = details;
    Ok(Json(ProviderJobView { job, customer, payment, chat_id, actions }))
}

impl CustomerActionsView {
    fn new(state: &JobState, is_reviewed: bool, now: DateTime<Utc>) -> Self {
        let may = |action| state.allows(CUSTOMER, action, now);
        Self {
            can_approve_edits: may(Action::AcceptOffer),
            can_close_deal: may(Action::CloseDeal),
            can_cancel: may(Action::Cancel),
            can_give_feedback: may(Action::Review) && !is_reviewed,
            // No deadline runs while an offer is open.
            can_resend: may(Action::Resend) && state.offer.is_none(),
            is_expired: state.is_expired(now),
        }
    }
}

impl ProviderActionsView {
    fn new(state: &JobState, now: DateTime<Utc>) -> Self {
        Self {
            can_mark_complete: state.allows(PROVIDER, Action::MarkComplete, now),
            can_mark_payment: state.allows(PROVIDER, Action::MarkPayment, now),
        }
    }
}
