//! `/payments/stripe/webhook`.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use chrono::Utc;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use super::types::{Event, Happening, InvoiceEvent, Verdict};
use crate::error::{Error, Result};
use crate::outbox::{Notifier, Outbox};
use crate::payments::settlement::Settlement;
use crate::payments::stripe::Stripe;
use crate::state::ApiState;
use crate::web::extract::Json;
use doors::{Pooler, Tx};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(webhook))
}

/// The receipt of an event.
#[derive(Serialize, ToSchema)]
struct ReceivedView {
    received: bool,
}

/// Receives an event of Stripe's: signed over the raw body with `STRIPE_WEBHOOK_SECRET`, and at most five minutes old.
/// Each takes effect once; types that concern nobody here are ignored.
///
/// # Errors
/// 400 the signature is wrong or too old, or the event cannot be read. 404 online payments are not set up. 413 the event
/// is too large.
#[utoipa::path(post, path = "/payments/stripe/webhook", tag = "payments",
    params(("Stripe-Signature" = String, Header, description = "`t=…,v1=…`, as Stripe signs it")),
    request_body(content = Object, description = "The event, as Stripe sends it"),
    responses(
        (status = 200, body = ReceivedView),
        (status = 400, description = "The signature is wrong or too old, or the event cannot be read"),
        (status = 404, description = "Online payments are not set up"),
        (status = 413, description = "The event is too large"),
    ))]
async fn webhook(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    State(stripe): State<Option<Stripe>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<ReceivedView>> {
    let stripe = stripe.ok_or(Error::NotFound("Stripe webhook"))?;
    let signature = headers.get("stripe-signature").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !stripe.webhook_secret.verifies(signature, &body, Utc::now()) {
        let message = "Stripe-Signature does not fit this body, or is more than 5 minutes old";
        return Err(Error::Refused("wrong_signature", message.into()));
    }
    let unreadable = |_| Error::Malformed("the body is not an event of the API version that this service reads".into());
    let event: Event = serde_json::from_slice(&body).map_err(unreadable)?;
    if let Some(about) = event.about_invoice().map_err(unreadable)? {
        let mut tx = pooler.write().await?;
        let outbox = receive(&mut tx, &event, &about).await?;
        tx.commit().await?;
        notifier.publish(outbox);
    }
    Ok(Json(ReceivedView { received: true }))
}

/// Applies an event once, or has every admin notified why not.
async fn receive(tx: &mut Tx<Pooler>, event: &Event, about: &InvoiceEvent) -> Result<Outbox> {
    let mut outbox = Outbox::default();
    // Not ours: an account at Stripe may have other invoices.
    let Some((invoice, job)) = queries::find(tx, about).await? else { return Ok(outbox) };
    if !queries::insert(tx, &event.id, &event.kind, invoice).await? {
        return Ok(outbox);
    }
    let Some(settlement) = Settlement::lock(tx, job).await? else { return Ok(outbox) };
    match about.judge(&settlement.invoice) {
        Verdict::Apply => apply(tx, settlement, about.happening, &mut outbox).await?,
        Verdict::Ignore => {}
        Verdict::Refuse(why) => {
            tracing::warn!(event = event.id, kind = event.kind, why, "an event of Stripe's was refused");
            queries::set_refusal(tx, &event.id, &why).await?;
            let text = format!("the event {} ({}) was not applied: {why}", event.id, event.kind);
            settlement.notify_admins(tx, "Stripe event refused", &text, &mut outbox).await?;
        }
    }
    Ok(outbox)
}

async fn apply(tx: &mut Tx<Pooler>, settlement: Settlement, happening: Happening, outbox: &mut Outbox) -> Result<()> {
    let now = Utc::now();
    match happening {
        Happening::Paid => settlement.pay(tx, now, outbox).await,
        Happening::PaymentFailed => settlement.fail(tx, now, outbox).await,
        Happening::Voided => settlement.void(tx, now, outbox).await,
        Happening::Refunded { refunded } => {
            // What is refunded was paid, even if that event arrives later.
            settlement.pay(tx, now, outbox).await?;
            let settlement = Settlement::lock(tx, settlement.invoice.job_id).await?.unwrap_or(settlement);
            settlement.refund(tx, refunded, now, outbox).await
        }
    }
}
