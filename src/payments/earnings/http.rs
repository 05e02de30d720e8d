//! `/payments/earnings`, `/payments/provider/invoices` and `/payments/jobs/{jobId}/invoice`.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, InvoiceFilter};
use crate::auth::{Caller, Provider};
use crate::error::{Error, Result};
use crate::jobs::PaymentMethod;
use crate::state::ApiState;
use crate::types::{Cents, InvoiceId, JobId, JobStatus, ProviderId, Timestamp, text_enum};
use crate::web::extract::{Json, Path, Query};
use crate::web::fields::Fields;
use doors::Pooler;

/// The number of invoices in a list, unless the client sets it.
const DEFAULT_LIMIT: i64 = 100;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(earnings))
        .routes(routes!(provider_invoices))
        .routes(routes!(provider_invoice))
        .routes(routes!(job_invoice))
}

text_enum! {
    /// The state of a payment, as clients know it.
    PaymentState {
        /// Not paid yet.
        Pending = "pending",
        /// Paid.
        Received = "received",
        /// Paid or not, the job has an open dispute.
        Disputed = "disputed",
    }
}

/// What a provider has earned.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EarningsView {
    pub provider_id: ProviderId,
    /// Everything received for paid jobs.
    pub total_earnings: Cents,
    /// The number of paid jobs.
    pub total_jobs: i32,
    /// The earnings without what was refunded online.
    pub current_balance: Cents,
}

/// Returns what the calling provider has earned.
#[utoipa::path(get, path = "/payments/earnings", tag = "payments", security(("provider" = [])),
    responses((status = 200, body = EarningsView)))]
async fn earnings(State(pooler): State<Pooler>, who: Provider) -> Result<Json<EarningsView>> {
    queries::find_earnings(&pooler, who.user_id).await?.map(Json).ok_or(Error::NotFound("provider"))
}

/// A selection of the invoices.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(rename_all = "camelCase")]
struct InvoicesQuery {
    /// Returns only invoices in this state.
    #[param(inline)]
    status: Option<PaymentState>,
    /// The maximum number of invoices, 1 to 100; 100 by default.
    limit: Option<i64>,
    /// The number of invoices to skip.
    offset: Option<i64>,
}

impl InvoicesQuery {
    fn check(self) -> Result<InvoiceFilter> {
        let mut rules = Fields::new();
        let limit = rules.limit(self.limit, DEFAULT_LIMIT);
        let offset = rules.offset(self.offset);
        rules.finish()?;
        Ok(InvoiceFilter { status: self.status, limit, offset })
    }
}

/// An invoice of a provider.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct InvoiceView {
    pub id: InvoiceId,
    pub job_id: JobId,
    /// The service's name.
    pub job_service: String,
    pub job_category: String,
    /// First and last name.
    pub customer_name: String,
    pub customer_email: String,
    pub amount: Cents,
    pub status: PaymentState,
    /// The page at Stripe where the customer pays, or has paid.
    pub stripe_invoice_url: Option<String>,
    pub stripe_pdf_url: Option<String>,
    pub created_at: Timestamp,
    /// When the payment was received.
    pub marked_at: Option<Timestamp>,
    /// The provider's notes about the payment.
    pub notes: Option<String>,
}

/// All invoices of a provider in numbers, whatever is selected.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct InvoiceSummaryView {
    pub total: i64,
    /// How many are not paid yet.
    pub pending: i64,
    /// How many are paid.
    pub received: i64,
    /// How many are about jobs with an open dispute.
    pub disputed: i64,
    pub total_amount: Cents,
}

/// A provider's invoices.
#[derive(Serialize, ToSchema)]
struct InvoicesView {
    summary: InvoiceSummaryView,
    /// Newest first.
    invoices: Vec<InvoiceView>,
}

/// Lists the calling provider's invoices, newest first.
///
/// # Errors
/// 400 a parameter breaks a rule.
#[utoipa::path(get, path = "/payments/provider/invoices", tag = "payments", security(("provider" = [])),
    params(InvoicesQuery), responses((status = 200, body = InvoicesView)))]
async fn provider_invoices(
    State(pooler): State<Pooler>,
    who: Provider,
    Query(query): Query<InvoicesQuery>,
) -> Result<Json<InvoicesView>> {
    let (summary, invoices) = queries::list(&pooler, who.user_id, &query.check()?).await?;
    Ok(Json(InvoicesView { summary, invoices }))
}

/// Returns one of the calling provider's invoices.
///
/// # Errors
/// 404 no such invoice, or somebody else's.
#[utoipa::path(get, path = "/payments/provider/invoices/{id}", tag = "payments", security(("provider" = [])),
    params(("id" = InvoiceId, Path)),
    responses(
        (status = 200, body = InvoiceView),
        (status = 404, description = "No such invoice, or somebody else's"),
    ))]
async fn provider_invoice(
    State(pooler): State<Pooler>,
    who: Provider,
    Path(id): Path<InvoiceId>,
) -> Result<Json<InvoiceView>> {
    queries::find(&pooler, who.user_id, id).await?.map(Json).ok_or(Error::NotFound("invoice"))
}

/// What a job's parties know of its payment.
#[derive(Serialize, ToSchema)]
pub(super) struct JobInvoiceView {
    pub job: InvoicedJobView,
    pub customer: InvoicedCustomerView,
    /// `null` until the job is completed.
    pub payment: Option<JobPaymentView>,
    /// `null` until an invoice was sent.
    pub invoice: Option<SentInvoiceView>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct InvoicedJobView {
    pub id: JobId,
    pub status: JobStatus,
    /// The service's name.
    pub service: String,
    pub category: String,
    pub price: Cents,
    pub completed_at: Option<Timestamp>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct InvoicedCustomerView {
    /// First and last name.
    pub name: String,
    pub email: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobPaymentView {
    pub status: PaymentState,
    pub amount: Cents,
    pub method: Option<PaymentMethod>,
    /// When it was received.
    pub marked_at: Option<Timestamp>,
    /// The provider's notes about the payment.
    pub notes: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SentInvoiceView {
    pub id: InvoiceId,
    pub amount: Cents,
    /// The page at Stripe where the customer pays, or has paid.
    pub stripe_invoice_url: Option<String>,
    pub stripe_pdf_url: Option<String>,
    pub created_at: Timestamp,
}

/// Returns the invoice and the payment of one of the caller's jobs: for its customer and its provider.
///
/// # Errors
/// 404 no such job, or the caller is not one of its parties.
#[utoipa::path(get, path = "/payments/jobs/{jobId}/invoice", tag = "payments", security(("access_token" = [])),
    params(("jobId" = JobId, Path)),
    responses(
        (status = 200, body = JobInvoiceView),
        (status = 404, description = "No such job, or the caller is not one of its parties"),
    ))]
async fn job_invoice(State(pooler): State<Pooler>, who: Caller, Path(id): Path<JobId>) -> Result<Json<JobInvoiceView>> {
    queries::find_of_job(&pooler, who.user_id, id).await?.map(Json).ok_or(Error::NotFound("job"))
}
