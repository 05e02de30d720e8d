//! SQL of earnings and invoices that are shown.

use super::http::{
    EarningsView, InvoiceSummaryView, InvoiceView, InvoicedCustomerView, InvoicedJobView, JobInvoiceView,
    JobPaymentView, PaymentState, SentInvoiceView,
};
use crate::jobs::PaymentMethod;
use crate::types::{Cents, InvoiceId, JobId, JobStatus, ProviderId, Timestamp, UserId};
use doors::Pooler;

/// Finds what a user who is a provider has earned.
pub(super) async fn find_earnings(pooler: &Pooler, user: UserId) -> sqlx::Result<Option<EarningsView>> {
    let row = sqlx::query!(
        r#"select p.id as "id: ProviderId", p.earnings_cents, p.total_jobs,
                  coalesce((select sum(i.refunded_cents) from stm.invoices i where i.provider_id = p.id), 0)::bigint
                      as "refunded_cents!"
           from stm.providers p
           where p.user_id = $1"#,
        user.0,
    )
    .fetch_optional(pooler)
    .await?;
    Ok(row.map(|row| EarningsView {
        provider_id: row.id,
        total_earnings: Cents(row.earnings_cents),
        total_jobs: row.total_jobs,
        current_balance: Cents(row.earnings_cents - row.refunded_cents),
    }))
}

/// A selection of a provider's invoices.
#[derive(Debug)]
pub(super) struct InvoiceFilter {
    pub status: Option<PaymentState>,
    pub limit: i64,
    pub offset: i64,
}

/// Lists the invoices of a user who is a provider, newest first, with a summary of all of them.
pub(super) async fn list(
    pooler: &Pooler,
    user: UserId,
    filter: &InvoiceFilter,
) -> sqlx::Result<(InvoiceSummaryView, Vec<InvoiceView>)> {
    let rows = sqlx::query!(
        r#"with mine as (
               select i.id, i.job_id, i.amount_cents, i.created_at, y.marked_at, y.notes,
                      case when i.status in ('open', 'paid', 'refunded') then i.stripe_url end as stripe_url,
                      case when i.status in ('open', 'paid', 'refunded') then i.stripe_pdf_url end as stripe_pdf_url,
                      case when exists (select from stm.disputes d where d.job_id = i.job_id and d.status = 'open') then 'disputed'
                           else coalesce(y.status, 'pending') end as state
               from stm.invoices i
               left join stm.payments y on y.job_id = i.job_id and y.kind = 'job'
               where i.provider_id = (select p.id from stm.providers p where p.user_id = $1)
           ), summary as (
               select count(*) as total, count(*) filter (where state = 'pending') as pending,
                      count(*) filter (where state = 'received') as received,
                      count(*) filter (where state = 'disputed') as disputed,
                      coalesce(sum(amount_cents), 0)::bigint as total_cents
               from mine
           ), page as (
               select * from mine where $2::text is null or state = $2 order by id desc limit $3 offset $4
           )
           select summary.total as "total!", summary.pending as "pending!", summary.received as "received!",
                  summary.disputed as "disputed!", summary.total_cents as "total_cents!",
                  page.id as "id?: InvoiceId", page.job_id as "job_id?: JobId", s.name as "service?", s.category as "category?",
                  u.first_name || ' ' || u.last_name as customer_name, u.email as "email?",
                  page.amount_cents as "amount_cents?", page.state as "state?: PaymentState",
                  page.stripe_url as "stripe_url?", page.stripe_pdf_url as "stripe_pdf_url?",
                  page.created_at as "created_at?", page.marked_at as "marked_at?", page.notes as "notes?"
           from summary
           left join page on true
           left join stm.jobs j on j.id = page.job_id
           left join stm.services s on s.id = j.service_id
           left join stm.customers c on c.id = j.customer_id
           left join stm.users u on u.id = c.user_id
           order by page.id desc"#,
        user.0,
        filter.status.map(PaymentState::as_str),
        filter.limit,
        filter.offset,
    )
    .fetch_all(pooler)
    .await?;
    // An aggregate is always one row.
    let summary = rows.first().map(|row| InvoiceSummaryView {
        total: row.total,
        pending: row.pending,
        received: row.received,
        disputed: row.disputed,
        total_amount: Cents(row.total_cents),
    });
    let summary = summary.ok_or(sqlx::Error::RowNotFound)?;
    // A page without invoices is one row of nulls.
    let invoices = rows.into_iter().filter_map(|row| {
        Some(InvoiceView {
            id: row.id?,
            job_id: row.job_id?,
            job_service: row.service?,
            job_category: row.category?,
            customer_name: row.customer_name?,
            customer_email: row.email?,
            amount: Cents(row.amount_cents?),
            status: row.state?,
            stripe_invoice_url: row.stripe_url,
            stripe_pdf_url: row.stripe_pdf_url,
            created_at: row.created_at?.into(),
            marked_at: row.marked_at.map(Timestamp),
            notes: row.notes,
        })
    });
    Ok((summary, invoices.collect()))
}

/// Finds an invoice of a user who is a provider.
pub(super) async fn find(pooler: &Pooler, user: UserId, id: InvoiceId) -> sqlx::Result<Option<InvoiceView>> {
    let row = sqlx::query!(
        r#"select i.id as "id: InvoiceId", i.job_id as "job_id: JobId", s.name as service, s.category,
                  u.first_name || ' ' || u.last_name as "customer_name!", u.email, i.amount_cents, i.created_at,
                  case when exists (select from stm.disputes d where d.job_id = i.job_id and d.status = 'open') then 'disputed'
                       else coalesce(y.status, 'pending') end as "state!: PaymentState",
                  case when i.status in ('open', 'paid', 'refunded') then i.stripe_url end as stripe_url,
                  case when i.status in ('open', 'paid', 'refunded') then i.stripe_pdf_url end as stripe_pdf_url,
                  y.marked_at as "marked_at?", y.notes as "notes?"
           from stm.invoices i
           join stm.jobs j on j.id = i.job_id
           join stm.services s on s.id = j.service_id
           join stm.customers c on c.id = j.customer_id
           join stm.users u on u.id = c.user_id
           left join stm.payments y on y.job_id = i.job_id and y.kind = 'job'
           where i.id = $1 and i.provider_id = (select p.id from stm.providers p where p.user_id = $2)"#,
        id.0,
        user.0,
    )
    .fetch_optional(pooler)
    .await?;
    Ok(row.map(|row| InvoiceView {
        id: row.id,
        job_id: row.job_id,
        job_service: row.service,
        job_category: row.category,
        customer_name: row.customer_name,
        customer_email: row.email,
        amount: Cents(row.amount_cents),
        status: row.state,
        stripe_invoice_url: row.stripe_url,
        stripe_pdf_url: row.stripe_pdf_url,
        created_at: row.created_at.into(),
        marked_at: row.marked_at.map(Timestamp),
        notes: row.notes,
    }))
}

/// Finds the payment and the invoice of a job, for one of its parties.
pub(super) async fn find_of_job(pooler: &Pooler, user: UserId, job: JobId) -> sqlx::Result<Option<JobInvoiceView>> {
    let row = sqlx::query!(
        r#"select j.id as "id: JobId", j.status as "status: JobStatus", s.name as service, s.category, j.price_cents,
                  j.completed_at, u.first_name || ' ' || u.last_name as "customer_name!", u.email,
                  case when y.id is null then null
                       when exists (select from stm.disputes d where d.job_id = j.id and d.status = 'open') then 'disputed'
                       else y.status end as "payment_state: PaymentState",
                  y.amount_cents as "paid_cents?", y.method as "method?: PaymentMethod", y.marked_at as "marked_at?",
                  y.notes as "notes?", i.id as "invoice_id?: InvoiceId", i.amount_cents as "invoice_cents?",
                  i.created_at as "invoiced_at?",
                  case when i.status in ('open', 'paid', 'refunded') then i.stripe_url end as stripe_url,
                  case when i.status in ('open', 'paid', 'refunded') then i.stripe_pdf_url end as stripe_pdf_url
           from stm.jobs j
           join stm.services s on s.id = j.service_id
           join stm.customers c on c.id = j.customer_id
           join stm.users u on u.id = c.user_id
           join stm.providers p on p.id = j.provider_id
           left join stm.payments y on y.job_id = j.id and y.kind = 'job'
           left join stm.invoices i on i.job_id = j.id
           where j.id = $1 and $2 in (c.user_id, p.user_id)"#,
        job.0,
        user.0,
    )
    .fetch_optional(pooler)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let payment = row.payment_state.zip(row.paid_cents).map(|(status, amount)| JobPaymentView {
        status,
        amount: Cents(amount),
        method: row.method,
        marked_at: row.marked_at.map(Timestamp),
        notes: row.notes,
    });
    let (url, pdf_url) = (row.stripe_url, row.stripe_pdf_url);
    let invoice =
        row.invoice_id.zip(row.invoice_cents).zip(row.invoiced_at).map(|((id, amount), at)| SentInvoiceView {
            id,
            amount: Cents(amount),
            stripe_invoice_url: url,
            stripe_pdf_url: pdf_url,
            created_at: at.into(),
        });
    let job = InvoicedJobView {
        id: row.id,
        status: row.status,
        service: row.service,
        category: row.category,
        price: Cents(row.price_cents),
        completed_at: row.completed_at.map(Timestamp),
    };
    let customer = InvoicedCustomerView { name: row.customer_name, email: row.email };
    Ok(Some(JobInvoiceView { job, customer, payment, invoice }))
}
