//! `/customers/jobs/{id}` and `/provider/jobs/{id}`: a job for one of its two parties, with what that party may do now.

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::details_queries::{self as queries, DetailsRow, PaymentRow};
use super::types::{Action, CUSTOMER, PROVIDER};
use crate::auth::{Customer, Provider};
use crate::error::{Error, Result};
use crate::negotiation::OfferView;
use crate::state::ApiState;
use crate::types::{Cents, ChatId, JobId, JobStatus, ProviderId, Timestamp};
use crate::web::extract::{Json, Path};
use doors::Pooler;

pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(customers_job)).routes(routes!(providers_job))
}

/// A job as its customer sees it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CustomersJobView {
    job: JobDetailsView,
    provider: BookedProviderView,
    /// What is owed or was paid: for the work, or for a late cancellation.
    payment: Option<PaymentView>,
    /// The chat with the present provider.
    chat_id: Option<ChatId>,
    actions: CustomersActionsView,
}

/// A job as its provider sees it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProvidersJobView {
    job: JobDetailsView,
    customer: BookingCustomerView,
    /// What is owed or was paid: for the work, or for a late cancellation.
    payment: Option<PaymentView>,
    /// The chat with the customer.
    chat_id: Option<ChatId>,
    actions: ProvidersActionsView,
}

/// The job itself.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct JobDetailsView {
    id: JobId,
    /// The service's name.
    service: String,
    category: String,
    status: JobStatus,
    price: Cents,
    /// As they were given with the booking.
    #[schema(value_type = Object)]
    original_answers: serde_json::Value,
    /// As the offers that are open or accepted change them, one after the other; null if none does.
    #[schema(value_type = Option<Object>)]
    edited_answers: Option<serde_json::Value>,
    /// While new: agreed to the present terms?
    sp_accepted: bool,
    /// Does an offer wait for an answer?
    pending_approval: bool,
    /// The offer that waits for an answer.
    offer: Option<OfferView>,
    /// Where: in the customer's words, or the ZIP code.
    location: String,
    /// URLs of pictures.
    images: Vec<String>,
    scheduled_at: Option<Timestamp>,
    /// While new: until when the provider should answer.
    response_deadline: Timestamp,
    completed_at: Option<Timestamp>,
    created_at: Timestamp,
}

/// Who is booked.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct BookedProviderView {
    id: ProviderId,
    business_name: String,
    owner_name: String,
    /// E.164.
    phone: Option<String>,
    /// 1 to 5; 0 without a review.
    rating: f64,
    location: Option<String>,
}

/// Who has booked.
#[derive(Serialize, ToSchema)]
struct BookingCustomerView {
    name: String,
    /// E.164.
    phone: Option<String>,
    address: String,
}

/// What is owed or was paid.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PaymentView {
    amount: Cents,
    /// `pending` or `received`.
    status: String,
    /// `cash`, `card`, `bank_transfer` or `online`.
    method: Option<String>,
    /// When it was received.
    marked_at: Option<Timestamp>,
}

/// What the customer may do now.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "clients know them by these names")]
struct CustomersActionsView {
    can_approve_edits: bool,
    can_close_deal: bool,
    can_cancel: bool,
    can_give_feedback: bool,
    can_resend: bool,
    /// Has the provider let the deadline pass?
    is_expired: bool,
}

/// What the provider may do now.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProvidersActionsView {
    can_mark_complete: bool,
    can_mark_payment: bool,
}

/// A job of the calling customer's.
///
/// # Errors
/// 404 no such job, or somebody else's.
#[utoipa::path(get, path = "/customers/jobs/{id}", tag = "jobs", security(("access_token" = [])), params(("id" = JobId, Path)),
    responses((status = 200, body = CustomersJobView), (status = 403, description = "Not a customer"), (status = 404, description = "No such job, or somebody else's")))]
async fn customers_job(
    State(pooler): State<Pooler>,
    who: Customer,
    Path(id): Path<JobId>,
) -> Result<Json<CustomersJobView>> {
    let row = queries::find(&pooler, id, who.user_id).await?.ok_or(Error::NotFound("job"))?;
    Ok(Json(CustomersJobView::new(row, Utc::now())))
}

/// A job of the calling provider's.
///
/// # Errors
/// 404 no such job, or somebody else's: also one that the customer has given to another provider.
#[utoipa::path(get, path = "/provider/jobs/{id}", tag = "jobs", security(("access_token" = [])), params(("id" = JobId, Path)),
    responses((status = 200, body = ProvidersJobView), (status = 403, description = "Not a service provider"), (status = 404, description = "No such job, or somebody else's")))]
async fn providers_job(
    State(pooler): State<Pooler>,
    who: Provider,
    Path(id): Path<JobId>,
) -> Result<Json<ProvidersJobView>> {
    let row = queries::find(&pooler, id, who.user_id).await?.ok_or(Error::NotFound("job"))?;
    Ok(Json(ProvidersJobView::new(row, Utc::now())))
}

impl CustomersJobView {
    fn new(mut row: DetailsRow, now: DateTime<Utc>) -> Self {
        let state = row.state();
        let may = |action| state.allows(CUSTOMER, action, now);
        Self {
            actions: CustomersActionsView {
                can_approve_edits: may(Action::AcceptOffer),
                can_close_deal: may(Action::CloseDeal),
                can_cancel: may(Action::Cancel),
                can_give_feedback: may(Action::Review) && !row.is_reviewed,
                can_resend: may(Action::Resend),
                is_expired: state.is_expired(now),
            },
            provider: BookedProviderView {
                id: row.provider_id,
                business_name: std::mem::take(&mut row.business_name),
                owner_name: std::mem::take(&mut row.owner_name),
                phone: row.provider_phone.take(),
                rating: row.rating,
                location: row.provider_location.take(),
            },
            payment: row.payment.take().map(Into::into),
            chat_id: row.chat_id,
            job: row.into(),
        }
    }
}

impl ProvidersJobView {
    fn new(mut row: DetailsRow, now: DateTime<Utc>) -> Self {
        let state = row.state();
        let may = |action| state.allows(PROVIDER, action, now);
        Self {
            actions: ProvidersActionsView {
                can_mark_complete: may(Action::MarkComplete),
                can_mark_payment: may(Action::MarkPayment),
            },
            customer: BookingCustomerView {
                name: std::mem::take(&mut row.customer_name),
                phone: row.customer_phone.take(),
                address: std::mem::take(&mut row.customer_address),
            },
            payment: row.payment.take().map(Into::into),
            chat_id: row.chat_id,
            job: row.into(),
        }
    }
}

impl From<DetailsRow> for JobDetailsView {
    fn from(row: DetailsRow) -> Self {
        Self {
            id: row.id,
            service: row.service,
            category: row.category,
            status: row.status,
            price: Cents(row.price_cents),
            original_answers: row.original_answers,
            edited_answers: row.edited_answers,
            sp_accepted: row.sp_accepted,
            pending_approval: row.offer.is_some(),
            offer: row.offer,
            location: row.location.unwrap_or(row.zipcode),
            images: row.images,
            scheduled_at: row.scheduled_at.map(Timestamp),
            response_deadline: Timestamp(row.response_deadline),
            completed_at: row.completed_at.map(Timestamp),
            created_at: Timestamp(row.created_at),
        }
    }
}

impl From<PaymentRow> for PaymentView {
    fn from(row: PaymentRow) -> Self {
        Self {
            amount: Cents(row.amount_cents),
            status: row.status,
            method: row.method,
            marked_at: row.marked_at.map(Timestamp),
        }
    }
}
