//! SQL of the lists of a provider's jobs.

use chrono::{DateTime, Utc};

use super::http::{JobCustomerView, PendingJobView, ProviderJobListedView};
use crate::files::{Audience, FileUrls};
use crate::types::{Cents, ChatId, JobId, JobStatus, Timestamp, UserId};
use crate::web::page::PageRequest;
use doors::Pooler;

/// The most jobs in the list of pending ones.
const MAX_PENDING: i64 = 100;

/// The new jobs of a user who is a provider, newest first, at most [`MAX_PENDING`].
pub(super) async fn list_pending(
    pooler: &Pooler,
    urls: &FileUrls,
    user_id: UserId,
) -> sqlx::Result<Vec<PendingJobView>> {
    let rows = sqlx::query!(
        r#"select j.id as "id: JobId", s.name as service, s.category, u.first_name || ' ' || u.last_name as "customer_name!",
                  u.phone_number as customer_phone, j.location, j.zipcode, j.images, j.answers, j.price_cents,
                  j.customer_budget_cents, j.scheduled_at, j.response_deadline, j.sp_accepted, j.pending_approval,
                  (select h.id
                   from stm.chats h
                   join stm.chat_members m on m.chat_id = h.id and m.user_id = $1 and m.left_at is null
                   where h.job_id = j.id
                   order by h.id desc
                   limit 1) as "chat_id: ChatId",
                  j.created_at
           from stm.jobs j
           join stm.services s on s.id = j.service_id
           join stm.customers c on c.id = j.customer_id
           join stm.users u on u.id = c.user_id
           where j.provider_id = (select p.id from stm.providers p where p.user_id = $1) and j.status = 'new'
           order by j.id desc
           limit $2"#,
        user_id.0,
        MAX_PENDING,
    )
    .fetch_all(pooler)
    .await?;
    let jobs = rows.into_iter().map(|row| PendingJobView {
        id: row.id,
        service: row.service,
        category: row.category,
        customer: JobCustomerView { name: row.customer_name, phone: row.customer_phone },
        location: row.location.unwrap_or_else(|| row.zipcode.clone()),
        zipcode: row.zipcode,
        images: urls.of_references(row.images, Audience::Job(row.id)),
        answers: row.answers,
        price: Cents(row.price_cents),
        customer_budget: row.customer_budget_cents.map(Cents),
        scheduled_at: row.scheduled_at.map(Timestamp),
        response_deadline: row.response_deadline.into(),
        response_deadline_snake: row.response_deadline.into(),
        sp_accepted: row.sp_accepted,
        pending_approval: row.pending_approval,
        chat_id: row.chat_id,
        created_at: row.created_at.into(),
    });
    Ok(jobs.collect())
}

/// A selection of a provider's jobs.
#[derive(Debug)]
pub(crate) struct JobFilter {
    pub statuses: Option<Vec<JobStatus>>,
    /// The earliest request time.
    pub from: Option<DateTime<Utc>>,
    /// The end of the request times, exclusive.
    pub until: Option<DateTime<Utc>>,
    pub page: PageRequest,
}

impl JobFilter {
    /// The statuses in the words of SQL; `None` are all.
    pub(crate) fn status_words(&self) -> Option<Vec<String>> {
        let statuses = self.statuses.as_ref()?;
        Some(statuses.iter().map(|status| status.as_str().to_owned()).collect())
    }
}

/// A page of the jobs of a user who is a provider, newest first, and the total number.
pub(super) async fn list(
    pooler: &Pooler,
    urls: &FileUrls,
    user_id: UserId,
    filter: &JobFilter,
) -> sqlx::Result<(Vec<ProviderJobListedView>, i64)> {
    let statuses = filter.status_words();
    // The page is cut from the jobs alone, in the order of their index; everything else is looked up for its rows.
    let rows = sqlx::query!(
        r#"select total as "total!", id as "id: JobId", service, category, customer_name, customer_phone,
                  status as "status: JobStatus", price_cents, payment_status, images, scheduled_at,
                  completed_at, created_at, chat_id as "chat_id: ChatId"
           from stm.list_provider_jobs_v1($1, $2, $3, $4, $5, $6)"#,
        user_id.0,
        statuses.as_deref(),
        filter.from,
        filter.until,
        filter.page.limit,
        filter.page.offset(),
    )
    .fetch_all(pooler)
    .await?;
    let total = rows.first().map_or(0, |row| row.total);
    // A page without jobs is one row of nulls.
    let jobs = rows.into_iter().filter_map(|row| {
        Some(ProviderJobListedView {
            id: row.id?,
            service: row.service?,
            category: row.category?,
            customer: JobCustomerView { name: row.customer_name?, phone: row.customer_phone },
            status: row.status?,
            price: Cents(row.price_cents?),
            payment_status: row.payment_status,
            images: urls.of_references(row.images?, Audience::Job(row.id?)),
            scheduled_at: row.scheduled_at.map(Timestamp),
            completed_at: row.completed_at.map(Timestamp),
            created_at: row.created_at?.into(),
            chat_id: row.chat_id,
        })
    });
    Ok((jobs.collect(), total))
}
