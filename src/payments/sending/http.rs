//! `/payments/jobs/{jobId}/send-invoice` and `/payments/jobs/{jobId}/resend-invoice`.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use chrono::Utc;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::attempts;
use super::queries::{self, Claimed};
use crate::auth::Provider;
use crate::error::{Error, Result};
use crate::jobs::{Command, Job};
use crate::outbox::{Notifier, Outbox};
use crate::payments::queries as invoices;
use crate::payments::settlement::Settlement;
use crate::payments::stripe::Stripe;
use crate::payments::types::{InvoiceRow, InvoiceStatus, MAX_TIMES_ASKED};
use crate::state::ApiState;
use crate::types::{Cents, InvoiceId, JobId};
use crate::web::extract::{Json, Path};
use doors::{Pooler, Tx};

/// How long the provider waits for Stripe.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(send_invoice)).routes(routes!(resend_invoice))
}

/// An invoice that was sent, or will be.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct InvoiceSentView {
    /// Whether the customer has been asked to pay; `false` while Stripe cannot be reached.
    success: bool,
    /// What has happened, as a sentence.
    message: &'static str,
    /// Whether there was an invoice for this job before.
    already_exists: bool,
    /// The page at Stripe where the customer pays.
    invoice_url: Option<String>,
    invoice_id: InvoiceId,
}

/// Asks the customer of one of the calling provider's completed jobs to pay: in the chat and by a notification, with a
/// link to Stripe where online payments are set up. A second request changes nothing.
///
/// # Errors
/// 404 no such job, or somebody else's. 409 the job is not completed, or has no price.
#[utoipa::path(post, path = "/payments/jobs/{jobId}/send-invoice", tag = "payments", security(("provider" = [])),
    params(("jobId" = JobId, Path)),
    responses(
        (status = 201, body = InvoiceSentView),
        (status = 404, description = "No such job, or somebody else's"),
        (status = 409, description = "The job is not completed, or has no price"),
    ))]
async fn send_invoice(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    State(stripe): State<Option<Stripe>>,
    who: Provider,
    Path(id): Path<JobId>,
) -> Result<(StatusCode, Json<InvoiceSentView>)> {
    let mut tx = pooler.write().await?;
    let job = Job::load_for_update(&mut tx, id, who.user_id).await?;
    let view = match invoices::find(&mut tx, id).await? {
        Some(invoice) => InvoiceSentView { already_exists: true, ..InvoiceSentView::of(invoice) },
        None => InvoiceSentView::of(begin(tx, job, &pooler, stripe.as_ref(), &notifier).await?),
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// Asks the customer again, or makes an invoice anew that has failed or is void.
///
/// # Errors
/// 404 no such job, or somebody else's. 409 the job is not completed, no invoice was sent, or the customer was asked too
/// often.
#[utoipa::path(post, path = "/payments/jobs/{jobId}/resend-invoice", tag = "payments", security(("provider" = [])),
    params(("jobId" = JobId, Path)),
    responses(
        (status = 201, body = InvoiceSentView),
        (status = 404, description = "No such job, or somebody else's"),
        (status = 409, description = "The job is not completed, no invoice was sent, or the customer was asked too often"),
    ))]
async fn resend_invoice(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    State(stripe): State<Option<Stripe>>,
    who: Provider,
    Path(id): Path<JobId>,
) -> Result<(StatusCode, Json<InvoiceSentView>)> {
    let mut tx = pooler.write().await?;
    let job = Job::load_for_update(&mut tx, id, who.user_id).await?;
    let Some(invoice) = invoices::find(&mut tx, id).await? else {
        return Err(Error::Conflict("not_invoiced", "no invoice was sent for this job: send it first".into()));
    };
    let invoice = match invoice.status {
        InvoiceStatus::Failed | InvoiceStatus::Void => begin(tx, job, &pooler, stripe.as_ref(), &notifier).await?,
        InvoiceStatus::Open => remind(tx, job, invoice, &notifier).await?,
        InvoiceStatus::PendingCreation => {
            queries::hurry(&mut tx, invoice.id).await?;
            tx.commit().await?;
            invoice
        }
        InvoiceStatus::Paid | InvoiceStatus::PendingVoid | InvoiceStatus::Refunded => {
            return Err(Error::Conflict("already_paid", "this job is paid: there is nothing to ask for".into()));
        }
    };
    Ok((StatusCode::CREATED, Json(InvoiceSentView { already_exists: true, ..InvoiceSentView::of(invoice) })))
}

/// Records the invoice, and asks the customer; through Stripe as soon as it is made there, which is attempted at once.
async fn begin(
    mut tx: Tx<Pooler>,
    job: Job,
    pooler: &Pooler,
    stripe: Option<&Stripe>,
    notifier: &Notifier,
) -> Result<InvoiceRow> {
    let (id, transition) = (job.row.id, job.apply(Command::SendInvoice, Utc::now())?);
    if job.row.state.price <= Cents(0) {
        let message = "this job has no price, so there is nothing to invoice: mark it as paid once you have been paid";
        return Err(Error::Conflict("no_price", message.into()));
    }
    let outbox = job.store(&mut tx, &transition).await?.outbox;
    queries::begin(&mut tx, id, stripe.is_some()).await?;
    let invoice = find(&mut tx, id).await?;
    let Some(stripe) = stripe else {
        return ask(tx, Settlement { job, invoice }, outbox, notifier).await;
    };
    let claimed = attempts::claim_one(&mut tx, invoice.id).await?;
    tx.commit().await?;
    notifier.publish(outbox);
    match claimed {
        Some(claimed) => Ok(attempt(pooler, stripe, notifier, claimed).await.unwrap_or(invoice)),
        None => Ok(invoice),
    }
}

/// Makes the invoice at Stripe while the caller waits. Returns `None` if that takes too long: the attempt goes on.
async fn attempt(pooler: &Pooler, stripe: &Stripe, notifier: &Notifier, claimed: Claimed) -> Option<InvoiceRow> {
    let (pooler, stripe, notifier) = (pooler.clone(), stripe.clone(), notifier.clone());
    // A task of its own also has time of its own for the database.
    let attempt = tokio::spawn(async move {
        attempts::attempt(&pooler, &stripe, &notifier, &claimed).await;
        find(&mut pooler.read().await?, claimed.draft.job_id).await
    });
    tokio::time::timeout(ANSWER_WITHIN, attempt).await.ok()?.ok()?.ok()
}

async fn remind(mut tx: Tx<Pooler>, job: Job, invoice: InvoiceRow, notifier: &Notifier) -> Result<InvoiceRow> {
    let transition = job.apply(Command::SendInvoice, Utc::now())?;
    if invoice.times_asked >= MAX_TIMES_ASKED {
        let message = "the customer was asked 20 times to pay this: write in the chat instead";
        return Err(Error::Conflict("asked_too_often", message.into()));
    }
    let outbox = job.store(&mut tx, &transition).await?.outbox;
    ask(tx, Settlement { job, invoice }, outbox, notifier).await
}

async fn ask(
    mut tx: Tx<Pooler>,
    settlement: Settlement,
    mut outbox: Outbox,
    notifier: &Notifier,
) -> Result<InvoiceRow> {
    settlement.ask(&mut tx, settlement.invoice.stripe_url.as_deref(), &mut outbox).await?;
    tx.commit().await?;
    notifier.publish(outbox);
    Ok(settlement.invoice)
}

async fn find(tx: &mut Tx<Pooler>, job: JobId) -> Result<InvoiceRow> {
    invoices::find(tx, job).await?.ok_or(Error::NotFound("invoice"))
}

impl InvoiceSentView {
    fn of(invoice: InvoiceRow) -> Self {
        let (success, message) = match invoice.status {
            InvoiceStatus::Open => (true, "The customer has been asked to pay"),
            InvoiceStatus::PendingCreation => (
                false,
                "The payment service cannot be reached at the moment: the customer will be asked to pay as soon as it can",
            ),
            InvoiceStatus::Failed => {
                (false, "The invoice could not be made: send it again, or ask the customer to pay you directly")
            }
            InvoiceStatus::Void => (false, "The invoice cannot be paid any more: send it again"),
            InvoiceStatus::Paid | InvoiceStatus::PendingVoid | InvoiceStatus::Refunded => {
                (true, "This job is paid already")
            }
        };
        let invoice_url = invoice.stripe_url.filter(|_| invoice.status == InvoiceStatus::Open);
        Self { success, message, already_exists: false, invoice_url, invoice_id: invoice.id }
    }
}
