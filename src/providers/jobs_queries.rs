//! Lists of a provider's jobs.

use chrono::{DateTime, Utc};

use crate::db::Pooler;
use crate::types::{ChatId, JobId, JobStatus, UserId};
use crate::web::page::PageRequest;

/// The most jobs in the list of pending ones.
pub const MAX_PENDING: i64 = 100;

/// A job that waits for the provider or its customer.
#[derive(Debug)]
pub struct PendingRow {
    /// The job.
    pub id: JobId,
    /// The service's name.
    pub service: String,
    /// The service's category.
    pub category: String,
    /// The customer's first and last name.
    pub customer_name: String,
    /// E.164; none if the customer came from Supabase Auth.
    pub customer_phone: Option<String>,
    /// Where: in the customer's words.
    pub location: Option<String>,
    /// Where: five digits.
    pub zipcode: String,
    /// URLs of pictures.
    pub images: Vec<String>,
    /// Answers to the service's questions.
    pub answers: serde_json::Value,
    /// In cents.
    pub price_cents: i64,
    /// In cents.
    pub customer_budget_cents: Option<i64>,
    /// The appointment.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// Until when the provider should answer.
    pub response_deadline: DateTime<Utc>,
    /// Whether the provider has accepted.
    pub sp_accepted: bool,
    /// Whether an offer is open.
    pub pending_approval: bool,
    /// The newest chat about it that the provider is in.
    pub chat_id: Option<ChatId>,
    /// When it was requested.
    pub created_at: DateTime<Utc>,
}

/// The new jobs of a user who is a provider, newest first, at most [`MAX_PENDING`].
///
/// # Errors
/// Those of the database.
pub async fn list_pending(pooler: &Pooler, user_id: UserId) -> sqlx::Result<Vec<PendingRow>> {
    sqlx::query_as!(
        PendingRow,
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
    .await
}

/// Which of a provider's jobs.
#[derive(Debug)]
pub struct JobFilter {
    /// Only in these states.
    pub statuses: Option<Vec<JobStatus>>,
    /// Only requested then or later.
    pub from: Option<DateTime<Utc>>,
    /// Only requested before.
    pub until: Option<DateTime<Utc>>,
    /// Which page of them.
    pub page: PageRequest,
}

/// A job in a list.
#[derive(Debug)]
pub struct ListedJobRow {
    /// The job.
    pub id: JobId,
    /// The service's name.
    pub service: String,
    /// The service's category.
    pub category: String,
    /// The customer's first and last name.
    pub customer_name: String,
    /// E.164; none if the customer came from Supabase Auth.
    pub customer_phone: Option<String>,
    /// Where it is between request and payment.
    pub status: JobStatus,
    /// In cents.
    pub price_cents: i64,
    /// Where the payment of the job is; none if none is due.
    pub payment_status: Option<String>,
    /// URLs of pictures.
    pub images: Vec<String>,
    /// The appointment.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// When it was done.
    pub completed_at: Option<DateTime<Utc>>,
    /// When it was requested.
    pub created_at: DateTime<Utc>,
    /// The newest chat about it that the provider is in.
    pub chat_id: Option<ChatId>,
}

/// A page of the jobs of a user who is a provider, newest first; and how many there are.
///
/// # Errors
/// Those of the database.
pub async fn list(pooler: &Pooler, user_id: UserId, filter: &JobFilter) -> sqlx::Result<(Vec<ListedJobRow>, i64)> {
    let statuses: Option<Vec<String>> =
        filter.statuses.as_ref().map(|statuses| statuses.iter().map(|status| status.as_str().to_owned()).collect());
    // The page is cut from the jobs alone, in the order of their index; everything else is looked up for its rows.
    let rows = sqlx::query!(
        r#"select n.total as "total!",
                  j.id as "id?: JobId", s.name as "service?", s.category as "category?",
                  u.first_name || ' ' || u.last_name as customer_name, u.phone_number as "customer_phone?",
                  j.status as "status?: JobStatus", j.price_cents as "price_cents?", y.status as "payment_status?",
                  j.images as "images?", j.scheduled_at as "scheduled_at?", j.completed_at as "completed_at?",
                  j.created_at as "created_at?",
                  (select h.id
                   from stm.chats h
                   join stm.chat_members m on m.chat_id = h.id and m.user_id = $1 and m.left_at is null
                   where h.job_id = j.id
                   order by h.id desc
                   limit 1) as "chat_id: ChatId"
           from stm.providers p
           cross join lateral (
               select count(*) as total
               from stm.jobs n
               where n.provider_id = p.id
                 and ($2::text[] is null or n.status = any($2))
                 and ($3::timestamptz is null or n.created_at >= $3)
                 and ($4::timestamptz is null or n.created_at < $4)
           ) n
           left join lateral (
               select j.id, j.service_id, j.customer_id, j.status, j.price_cents, j.images, j.scheduled_at,
                      j.completed_at, j.created_at
               from stm.jobs j
               where j.provider_id = p.id
                 and ($2::text[] is null or j.status = any($2))
                 and ($3::timestamptz is null or j.created_at >= $3)
                 and ($4::timestamptz is null or j.created_at < $4)
               order by j.id desc
               limit $5 offset $6
           ) j on true
           left join stm.services s on s.id = j.service_id
           left join stm.customers c on c.id = j.customer_id
           left join stm.users u on u.id = c.user_id
           left join stm.payments y on y.job_id = j.id and y.kind = 'job'
           where p.user_id = $1
           order by j.id desc"#,
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
        Some(ListedJobRow {
            id: row.id?,
            service: row.service?,
            category: row.category?,
            customer_name: row.customer_name?,
            customer_phone: row.customer_phone,
            status: row.status?,
            price_cents: row.price_cents?,
            payment_status: row.payment_status,
            images: row.images?,
            scheduled_at: row.scheduled_at,
            completed_at: row.completed_at,
            created_at: row.created_at?,
            chat_id: row.chat_id,
        })
    });
    Ok((jobs.collect(), total))
}
