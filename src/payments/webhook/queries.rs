//! SQL of Stripe's events.

use super::types::InvoiceEvent;
use crate::types::{InvoiceId, JobId};
use doors::{Pooler, Tx};

/// Finds the invoice that an event is about: by Stripe's id, or by the id that Stripe was told.
pub(super) async fn find(tx: &mut Tx<Pooler>, event: &InvoiceEvent) -> sqlx::Result<Option<(InvoiceId, JobId)>> {
    let row = sqlx::query!(
        r#"select id as "id: InvoiceId", job_id as "job_id: JobId"
           from stm.invoices
           where stripe_invoice_id = $1 or id = $2
           order by stripe_invoice_id = $1 desc nulls last
           limit 1"#,
        event.stripe_invoice_id,
        event.invoice_id.map(|id| id.0),
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| (row.id, row.job_id)))
}

/// Inserts an event. Waits for a transaction that has inserted it. Returns `false` if it was there already.
pub(super) async fn insert(tx: &mut Tx<Pooler>, id: &str, kind: &str, invoice: InvoiceId) -> sqlx::Result<bool> {
    let inserted = sqlx::query!(
        "insert into stm.stripe_events (id, type, invoice_id) values ($1, $2, $3) on conflict (id) do nothing",
        id,
        kind,
        invoice.0,
    )
    .execute(tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Stores why an event was not applied.
pub(super) async fn set_refusal(tx: &mut Tx<Pooler>, id: &str, why: &str) -> sqlx::Result<()> {
    sqlx::query!("update stm.stripe_events set refusal = $2 where id = $1", id, why).execute(tx).await.map(drop)
}
