//! Making and voiding invoices at Stripe: claims, attempts, back-off. No transaction is open during an attempt.

use std::time::Duration;

use chrono::Utc;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::queries::{self, Claimed};
use crate::error::Result;
use crate::outbox::{Notifier, Outbox};
use crate::payments::messages;
use crate::payments::settlement::Settlement;
use crate::payments::stripe::{Failure, Stripe, StripeInvoice, StripeInvoiceStatus};
use crate::payments::types::{InvoiceStatus, MAX_ATTEMPTS, wait_s};
use crate::types::InvoiceId;
use doors::{Pooler, Tx};

/// The maximum time of an attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(12);

/// How long a claim holds: longer than an attempt, because its result has to be stored.
const LEASE_S: f64 = 60.0;

/// How many invoices a process makes at once.
const BATCH: i64 = 4;

/// Claims an invoice that was just begun, for an attempt of the request itself.
pub(super) async fn claim_one(tx: &mut Tx<Pooler>, id: InvoiceId) -> sqlx::Result<Option<Claimed>> {
    Ok(queries::claim(tx, Some(id), 1, LEASE_S).await?.pop())
}

async fn claim_due(pooler: &Pooler) -> sqlx::Result<Vec<Claimed>> {
    let mut tx = pooler.write().await?;
    let claimed = queries::claim(&mut tx, None, BATCH, LEASE_S).await?;
    tx.commit().await?;
    Ok(claimed)
}

/// Attempts what is due, until nothing is, or it is time to stop.
pub(crate) async fn attempt_due(pooler: &Pooler, stripe: &Stripe, notifier: &Notifier, stopped: &CancellationToken) {
    while !stopped.is_cancelled() {
        match claim_due(pooler).await {
            Ok(claimed) if claimed.is_empty() => return,
            Ok(claimed) => {
                join_all(claimed.iter().map(|one| attempt(pooler, stripe, notifier, one))).await;
            }
            Err(error) => {
                tracing::warn!(%error, "invoices could not be claimed; trying again later");
                return;
            }
        }
    }
}

/// Makes an attempt, stores its result, and publishes what follows.
pub(super) async fn attempt(pooler: &Pooler, stripe: &Stripe, notifier: &Notifier, claimed: &Claimed) {
    let timeout = || Failure::Later { why: "timeout".into(), is_replayed: false };
    let attempted = tokio::time::timeout(ATTEMPT_TIMEOUT, ask_stripe(pooler, stripe, claimed));
    let result = attempted.await.unwrap_or_else(|_| Err(timeout()));
    match store(pooler, claimed, result).await {
        Ok(outbox) => notifier.publish(outbox),
        // The lease ends by itself; another attempt follows, with the same keys.
        Err(error) => tracing::warn!(invoice = claimed.draft.id.0, %error, "the result of an attempt was not stored"),
    }
}

/// Brings an invoice at Stripe where it should be.
async fn ask_stripe(pooler: &Pooler, stripe: &Stripe, claimed: &Claimed) -> Result<StripeInvoice, Failure> {
    let made = make(pooler, stripe, claimed).await?;
    let is_right = made.amount_due == claimed.draft.amount.0 && made.currency == "usd";
    if claimed.status == InvoiceStatus::PendingCreation && is_right {
        return Ok(made);
    }
    // Also one that turned out wrong, before anybody has seen it.
    let voided = match made.status {
        StripeInvoiceStatus::Void | StripeInvoiceStatus::Paid => made,
        StripeInvoiceStatus::Draft | StripeInvoiceStatus::Open | StripeInvoiceStatus::Uncollectible => {
            match stripe.void(&claimed.draft, &made.id).await {
                // It may have been paid or voided in the meantime.
                Err(Failure::Final(_)) => stripe.find_invoice(&made.id).await?,
                voided => voided?,
            }
        }
    };
    if claimed.status == InvoiceStatus::PendingCreation {
        return Err(Failure::Final("the invoice has another amount at Stripe".into()));
    }
    match voided.status {
        StripeInvoiceStatus::Void | StripeInvoiceStatus::Paid => Ok(voided),
        StripeInvoiceStatus::Draft | StripeInvoiceStatus::Open | StripeInvoiceStatus::Uncollectible => {
            Err(Failure::Later { why: "the invoice is not void".into(), is_replayed: false })
        }
    }
}

/// Makes an invoice, or goes on with one that was begun. Repeated with the same keys, every step happens once.
async fn make(pooler: &Pooler, stripe: &Stripe, claimed: &Claimed) -> Result<StripeInvoice, Failure> {
    let draft = &claimed.draft;
    let begun = claimed.stripe_customer_id.clone().zip(claimed.stripe_invoice_id.as_ref());
    let (customer, mut invoice) = if let Some((customer, invoice)) = begun {
        (customer, stripe.find_invoice(invoice).await?)
    } else {
        let customer = stripe.create_customer(draft).await?;
        let invoice = stripe.create_invoice(draft, &customer).await?;
        queries::set_stripe_ids(pooler, draft, &customer, &invoice.id)
            .await
            .map_err(|error| Failure::of_database(&error))?;
        (customer, invoice)
    };
    if invoice.status == StripeInvoiceStatus::Draft {
        if invoice.amount_due == 0 {
            stripe.create_item(draft, &customer, &invoice.id).await?;
        }
        invoice = stripe.finalize(draft, &invoice.id).await?;
    }
    Ok(invoice)
}

async fn store(pooler: &Pooler, claimed: &Claimed, result: Result<StripeInvoice, Failure>) -> Result<Outbox> {
    let mut outbox = Outbox::default();
    let mut tx = pooler.write().await?;
    match result {
        Ok(invoice) => store_success(&mut tx, claimed, &invoice, &mut outbox).await?,
        Err(failure) => store_failure(&mut tx, claimed, failure, &mut outbox).await?,
    }
    tx.commit().await?;
    Ok(outbox)
}

async fn store_success(
    tx: &mut Tx<Pooler>,
    claimed: &Claimed,
    at_stripe: &StripeInvoice,
    outbox: &mut Outbox,
) -> Result<()> {
    let Some(settlement) = Settlement::lock(tx, claimed.draft.job_id).await? else { return Ok(()) };
    match (settlement.invoice.status, at_stripe.status) {
        // Begun for the sake of another attempt; or the job was paid another way while it was made: to be voided.
        _ if settlement.invoice.stripe_invoice_id.as_ref() != Some(&at_stripe.id) => {}
        (InvoiceStatus::PendingCreation | InvoiceStatus::PendingVoid, StripeInvoiceStatus::Paid) => {
            settlement.pay(tx, Utc::now(), outbox).await?;
        }
        (InvoiceStatus::PendingCreation, StripeInvoiceStatus::Open) => {
            let is_news = queries::set_open(tx, claimed.draft.idempotency_key, at_stripe).await?;
            if is_news {
                settlement.ask(tx, at_stripe.hosted_invoice_url.as_deref(), outbox).await?;
            }
        }
        (InvoiceStatus::PendingCreation | InvoiceStatus::PendingVoid, StripeInvoiceStatus::Void) => {
            settlement.void(tx, Utc::now(), outbox).await?;
        }
        // Claimed for another purpose: the next attempt serves the present one.
        (InvoiceStatus::PendingCreation | InvoiceStatus::PendingVoid, _) => {
            queries::hurry(tx, claimed.draft.id).await?;
        }
        // Somebody else was faster.
        _ => {}
    }
    Ok(())
}

async fn store_failure(tx: &mut Tx<Pooler>, claimed: &Claimed, failure: Failure, outbox: &mut Outbox) -> Result<()> {
    let (invoice, attempt) = (claimed.draft.id.0, claimed.attempts);
    let why = match failure {
        Failure::Later { why, is_replayed } if attempt < MAX_ATTEMPTS => {
            tracing::warn!(invoice, attempt, why, "Stripe could not be asked about an invoice; trying again");
            queries::set_later(tx, claimed, &why, wait_s(attempt).into(), is_replayed).await?;
            return Ok(());
        }
        Failure::Later { why, .. } | Failure::Final(why) => why,
    };
    let Some(settlement) = Settlement::lock(tx, claimed.draft.job_id).await? else { return Ok(()) };
    if settlement.invoice.status == InvoiceStatus::PendingVoid && settlement.invoice.stripe_invoice_id.is_none() {
        // Stripe has refused to make it: there is nothing that could be paid.
        return settlement.void(tx, Utc::now(), outbox).await;
    }
    tracing::error!(invoice, attempt, why, "an invoice is given up (stm.invoices, status failed)");
    if !queries::set_failed(tx, claimed, &why).await? {
        return Ok(());
    }
    let (title, text) = if claimed.status == InvoiceStatus::PendingVoid {
        (
            "Invoice not voided",
            format!("it could not be voided at Stripe ({why}), and may be paid a second time: void it there"),
        )
    } else {
        outbox.notify(tx, [messages::not_made(&settlement.job, &settlement.invoice)]).await?;
        ("Invoice not made", format!("it could not be made at Stripe ({why})"))
    };
    settlement.notify_admins(tx, title, &text, outbox).await
}
