//! SQL of invoices that change.

use super::types::{InvoiceRow, InvoiceStatus};
use crate::types::{Cents, InvoiceId, JobId, UserId};
use doors::{Pooler, Tx};

/// The most admins that are notified.
const MAX_ADMINS: i64 = 100;

/// Finds the invoice of a job. It keeps its status while the job is locked: whatever changes it locks the job first.
pub(super) async fn find(tx: &mut Tx<Pooler>, job: JobId) -> sqlx::Result<Option<InvoiceRow>> {
    let row = sqlx::query!(
        r#"select id as "id: InvoiceId", amount_cents, status as "status: InvoiceStatus", stripe_invoice_id, stripe_url,
                  times_asked, refunded_cents
           from stm.invoices
           where job_id = $1"#,
        job.0,
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| InvoiceRow {
        id: row.id,
        job_id: job,
        amount: Cents(row.amount_cents),
        status: row.status,
        stripe_invoice_id: row.stripe_invoice_id,
        stripe_url: row.stripe_url,
        times_asked: row.times_asked,
        refunded: Cents(row.refunded_cents),
    }))
}

/// Sets the status of a locked invoice.
pub(super) async fn set_status(tx: &mut Tx<Pooler>, id: InvoiceId, status: InvoiceStatus) -> sqlx::Result<()> {
    sqlx::query!("update stm.invoices set status = $2, updated_at = now() where id = $1", id.0, status.as_str())
        .execute(tx)
        .await
        .map(drop)
}

/// Counts that the customer was asked to pay.
pub(super) async fn count_request(tx: &mut Tx<Pooler>, id: InvoiceId) -> sqlx::Result<()> {
    sqlx::query!("update stm.invoices set times_asked = times_asked + 1, updated_at = now() where id = $1", id.0)
        .execute(tx)
        .await
        .map(drop)
}

/// Stores the amount of all refunds so far.
pub(super) async fn set_refunded(tx: &mut Tx<Pooler>, id: InvoiceId, refunded: Cents) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.invoices
         set refunded_cents = $2, status = case when amount_cents = $2 then 'refunded' else status end, updated_at = now()
         where id = $1",
        id.0,
        refunded.0,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Stores that the customer has failed to pay.
pub(super) async fn set_payment_failed(tx: &mut Tx<Pooler>, id: InvoiceId) -> sqlx::Result<()> {
    sqlx::query!("update stm.invoices set payment_failed_at = now(), updated_at = now() where id = $1", id.0)
        .execute(tx)
        .await
        .map(drop)
}

/// Lists the admins who may act.
pub(super) async fn list_admins(tx: &mut Tx<Pooler>) -> sqlx::Result<Vec<UserId>> {
    sqlx::query_scalar!(
        r#"select id as "id: UserId" from stm.users where role = 'admin' and banned_at is null order by id limit $1"#,
        MAX_ADMINS,
    )
    .fetch_all(tx)
    .await
}
