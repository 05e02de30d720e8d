//! SQL of invoices that are sent, and made or voided at Stripe.

use uuid::Uuid;

use crate::payments::stripe::{Draft, Failure, StripeInvoice};
use crate::payments::types::InvoiceStatus;
use crate::types::{Cents, InvoiceId, JobId};
use doors::{Pooler, Tx};

/// Inserts the invoice of a completed job that this transaction has locked, or begins a failed or void one anew.
pub(super) async fn begin(tx: &mut Tx<Pooler>, job: JobId, via_stripe: bool) -> sqlx::Result<InvoiceId> {
    sqlx::query_scalar!(
        r#"insert into stm.invoices (job_id, provider_id, amount_cents, status, via_stripe)
           select j.id, j.provider_id, j.price_cents, case when $2 then 'pending_creation' else 'open' end, $2
           from stm.jobs j
           where j.id = $1
           on conflict (job_id) do update
           set status = excluded.status, via_stripe = excluded.via_stripe, idempotency_key = excluded.idempotency_key,
               stripe_customer_id = null, stripe_invoice_id = null, stripe_url = null, stripe_pdf_url = null,
               attempts = 0, next_attempt_at = now(), last_error = null, updated_at = now()
           returning id as "id: InvoiceId""#,
        job.0,
        via_stripe,
    )
    .fetch_one(tx)
    .await
}

/// A claimed invoice.
#[derive(Debug)]
pub(super) struct Claimed {
    pub draft: Draft,
    /// `PendingCreation` or `PendingVoid`.
    pub status: InvoiceStatus,
    pub stripe_customer_id: Option<String>,
    pub stripe_invoice_id: Option<String>,
    /// How often it was claimed, this time included. Also the proof of the claim.
    pub attempts: i32,
}

/// Claims up to `limit` due invoices, or one of them, for `lease_s` seconds, among those that no other process is claiming.
pub(super) async fn claim(
    tx: &mut Tx<Pooler>,
    only: Option<InvoiceId>,
    limit: i64,
    lease_s: f64,
) -> sqlx::Result<Vec<Claimed>> {
    let rows = sqlx::query!(
        r#"update stm.invoices i
           set attempts = i.attempts + 1, next_attempt_at = now() + make_interval(secs => $2)
           from (
               select id, job_id from stm.invoices
               where status in ('pending_creation', 'pending_void') and next_attempt_at <= now()
                 and ($3::bigint is null or id = $3)
               order by next_attempt_at, id
               limit $1
               for no key update skip locked
           ) due
           join stm.jobs j on j.id = due.job_id
           join stm.services s on s.id = j.service_id
           join stm.providers p on p.id = j.provider_id
           join stm.customers c on c.id = j.customer_id
           join stm.users u on u.id = c.user_id
           where i.id = due.id
           returning i.id as "id: InvoiceId", i.job_id as "job_id: JobId", i.idempotency_key, i.amount_cents,
                     i.status as "status: InvoiceStatus", i.stripe_customer_id, i.stripe_invoice_id, i.attempts,
                     u.email, u.first_name || ' ' || u.last_name as "customer_name!", s.name as service, p.business_name"#,
        limit,
        lease_s,
        only.map(|id| id.0),
    )
    .fetch_all(tx)
    .await?;
    let claimed = rows.into_iter().map(|row| Claimed {
        draft: Draft {
            id: row.id,
            job_id: row.job_id,
            idempotency_key: row.idempotency_key,
            amount: Cents(row.amount_cents),
            customer_email: row.email,
            customer_name: row.customer_name,
            description: format!("{} by {}", row.service, row.business_name),
        },
        status: row.status,
        stripe_customer_id: row.stripe_customer_id,
        stripe_invoice_id: row.stripe_invoice_id,
        attempts: row.attempts,
    });
    Ok(claimed.collect())
}

/// Makes a pending invoice due at once.
pub(super) async fn hurry(tx: &mut Tx<Pooler>, id: InvoiceId) -> sqlx::Result<()> {
    sqlx::query!("update stm.invoices set next_attempt_at = now() where id = $1", id.0).execute(tx).await.map(drop)
}

/// Stores how an invoice is known at Stripe, unless it was begun anew in the meantime.
pub(super) async fn set_stripe_ids(pooler: &Pooler, draft: &Draft, customer: &str, invoice: &str) -> sqlx::Result<()> {
    let mut tx = pooler.write().await?;
    sqlx::query!(
        "update stm.invoices set stripe_customer_id = $3, stripe_invoice_id = $4, updated_at = now()
         where id = $1 and idempotency_key = $2",
        draft.id.0,
        draft.idempotency_key,
        customer,
        invoice,
    )
    .execute(&mut tx)
    .await?;
    tx.commit().await
}

/// Marks a locked invoice as one that can be paid. Returns `false` if it is not to be made any more.
pub(super) async fn set_open(tx: &mut Tx<Pooler>, key: Uuid, made: &StripeInvoice) -> sqlx::Result<bool> {
    let opened = sqlx::query!(
        "update stm.invoices
         set status = 'open', stripe_url = $3, stripe_pdf_url = $4, last_error = null, updated_at = now()
         where idempotency_key = $1 and stripe_invoice_id = $2 and status = 'pending_creation'",
        key,
        made.id,
        made.hosted_invoice_url,
        made.invoice_pdf,
    )
    .execute(tx)
    .await?;
    Ok(opened.rows_affected() == 1)
}

/// Queues a claimed invoice again, after `wait_s` seconds. A failure that Stripe keeps under the key needs a new key.
pub(super) async fn set_later(
    tx: &mut Tx<Pooler>,
    claimed: &Claimed,
    why: &str,
    wait_s: f64,
    is_replayed: bool,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.invoices
         set next_attempt_at = now() + make_interval(secs => $3), last_error = $4,
             idempotency_key = case when $5 then stm.uuid_v7() else idempotency_key end
         where id = $1 and attempts = $2 and status in ('pending_creation', 'pending_void')",
        claimed.draft.id.0,
        claimed.attempts,
        wait_s,
        why,
        is_replayed,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Gives a claimed invoice up. Returns `false` if it has changed in the meantime.
pub(super) async fn set_failed(tx: &mut Tx<Pooler>, claimed: &Claimed, why: &str) -> sqlx::Result<bool> {
    let failed = sqlx::query!(
        "update stm.invoices set status = 'failed', last_error = $4, updated_at = now()
         where id = $1 and attempts = $2 and status = $3",
        claimed.draft.id.0,
        claimed.attempts,
        claimed.status.as_str(),
        why,
    )
    .execute(tx)
    .await?;
    Ok(failed.rows_affected() == 1)
}

impl Failure {
    /// The failure to store what Stripe has answered.
    pub(super) fn of_database(error: &sqlx::Error) -> Self {
        tracing::warn!(%error, "what Stripe has answered was not stored");
        Self::Later { why: "database".into(), is_replayed: false }
    }
}
