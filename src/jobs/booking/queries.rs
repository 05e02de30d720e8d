//! Rows of bookings.

use chrono::{DateTime, Utc};

use super::types::{Availability, Blocks, Booked};
use crate::jobs::queries::Line;
use crate::types::{ChatId, CustomerId, JobId, JobStatus, ProviderId, ServiceId, UserId};
use doors::{Pooler, Tx};

/// The customer who books.
#[derive(Debug)]
pub struct CustomerRow {
    /// Id.
    pub id: CustomerId,
    /// First and last name.
    pub name: String,
    /// Banned?
    pub is_banned: bool,
}

/// Locks the customer's row until the transaction ends: two bookings of one customer are decided one after
/// the other. `None`: this user is not a customer.
///
/// # Errors
/// Those of the database.
pub async fn lock_customer(tx: &mut Tx<Pooler>, user_id: UserId) -> sqlx::Result<Option<CustomerRow>> {
    sqlx::query_as!(
        CustomerRow,
        r#"select c.id as "id: CustomerId", u.first_name || ' ' || u.last_name as "name!", u.banned_at is not null as "is_banned!"
           from stm.customers c
           join stm.users u on u.id = c.user_id
           where c.user_id = $1
           for no key update of c"#,
        user_id.0,
    )
    .fetch_optional(tx)
    .await
}

/// What is asked of whom.
#[derive(Debug)]
pub struct OfferRow {
    /// The service's name.
    pub service_name: String,
    /// The provider's user.
    pub provider_user_id: UserId,
    /// What the provider says first in every new chat.
    pub first_message_template: Option<String>,
    /// How long a provider has to answer.
    pub response_deadline_minutes: i32,
    /// May the provider be booked for this?
    pub availability: Availability,
    /// What stands in the customer's way.
    pub blocks: Blocks,
}

/// An approved service and a provider, with all that decides whether the one can be booked with the other.
/// The provider's row is locked against a change until the transaction ends: by a statement of its own, because the one
/// that waits for a lock sees everything else as it was before the wait.
///
/// # Errors
/// Those of the database.
pub async fn lock_offer(
    tx: &mut Tx<Pooler>,
    customer: CustomerId,
    service: ServiceId,
    provider: ProviderId,
    zip_code: &str,
) -> sqlx::Result<Option<OfferRow>> {
    sqlx::query!("select id from stm.providers where id = $1 for share", provider.0).fetch_optional(&mut *tx).await?;
    let row = sqlx::query!(
        r#"select s.name as service_name, p.user_id as "provider_user_id: UserId", p.first_message_template,
                  t.response_deadline_minutes,
                  p.status = 'active' as "is_active!",
                  exists (select from stm.provider_services x where x.provider_id = p.id and x.service_id = s.id)
                      as "offers_service!",
                  exists (select from stm.provider_zip_codes z where z.provider_id = p.id and z.zip_code = $4)
                      as "serves_zip_code!",
                  exists (select from stm.jobs j where j.customer_id = $1 and j.status = 'completed') as "has_unpaid_job!",
                  exists (select from stm.jobs j
                          where j.customer_id = $1 and j.provider_id = p.id and j.status in ('new', 'in_progress'))
                      as "has_open_job_with_provider!",
                  exists (select from stm.jobs j where j.customer_id = $1 and j.status = 'new' and j.sp_accepted)
                      as "has_accepted_job!"
           from stm.services s, stm.providers p, stm.settings t
           where s.id = $2 and s.status = 'approved' and p.id = $3"#,
        customer.0,
        service.0,
        provider.0,
        zip_code,
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| OfferRow {
        service_name: row.service_name,
        provider_user_id: row.provider_user_id,
        first_message_template: row.first_message_template,
        response_deadline_minutes: row.response_deadline_minutes,
        availability: Availability {
            is_active: row.is_active,
            offers_service: row.offers_service,
            serves_zip_code: row.serves_zip_code,
        },
        blocks: Blocks {
            has_unpaid_job: row.has_unpaid_job,
            has_open_job_with_provider: row.has_open_job_with_provider,
            has_accepted_job: row.has_accepted_job,
        },
    }))
}

/// A job to be inserted.
#[derive(Debug)]
pub struct NewJob<'a> {
    /// Who books.
    pub customer_id: CustomerId,
    /// Who is booked.
    pub provider_id: ProviderId,
    /// What.
    pub service_id: ServiceId,
    /// For how much, in cents: the budget, or 0.
    pub price_cents: i64,
    /// The customer's budget, in cents.
    pub customer_budget_cents: Option<i64>,
    /// Where: five digits.
    pub zipcode: &'a str,
    /// Where, in the customer's words.
    pub location: Option<&'a str>,
    /// Answers to the service's questions.
    pub answers: &'a serde_json::Value,
    /// URLs of pictures.
    pub images: &'a [String],
    /// Must the provider come and look first?
    pub requires_in_person_visit: bool,
    /// What that costs, in cents.
    pub in_person_visit_cost_cents: Option<i64>,
    /// Size, in square feet.
    pub project_size_sqft: Option<i32>,
    /// When.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// Until when the provider should answer.
    pub response_deadline: DateTime<Utc>,
}

/// Inserts a new job, its first audit row, its chat with both members, and the chat's first lines: one statement, so that none
/// is there without the others.
///
/// # Errors
/// Those of the database.
pub async fn insert(
    tx: &mut Tx<Pooler>,
    job: &NewJob<'_>,
    customer_user: UserId,
    provider_user: UserId,
    lines: &[Line],
) -> sqlx::Result<Booked> {
    let senders: Vec<i64> = lines.iter().map(|line| line.sender_id.0).collect();
    let sides: Vec<String> = lines.iter().map(|line| line.side.as_str().to_owned()).collect();
    let texts: Vec<String> = lines.iter().map(|line| line.text.clone()).collect();
    sqlx::query_as!(
        Booked,
        r#"with job as (
               insert into stm.jobs (
                   customer_id, provider_id, service_id, status, price_cents, customer_budget_cents, zipcode, location, answers,
                   images, requires_in_person_visit, in_person_visit_cost_cents, project_size_sqft, scheduled_at, preferred_at,
                   response_deadline)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14, $15)
               returning id, created_at, response_deadline
           ), event as (
               insert into stm.job_events (job_id, actor_id, action, to_status)
               select job.id, $16, 'book', 'new' from job
           ), chat as (
               insert into stm.chats (job_id, last_seq)
               select job.id, cardinality($18::bigint[]) from job
               returning id
           ), members as (
               insert into stm.chat_members (chat_id, user_id, side)
               select chat.id, member.user_id, member.side
               from chat, (values ($16::bigint, 'customer'), ($17::bigint, 'service_provider')) as member (user_id, side)
           ), lines as (
               insert into stm.messages (chat_id, seq, sender_id, sender_type, message)
               select chat.id, line.seq, line.sender_id, line.side, line.text
               from chat, unnest($18::bigint[], $19::text[], $20::text[]) with ordinality as line (sender_id, side, text, seq)
           )
           select job.id as "job_id: JobId", chat.id as "chat_id: ChatId", job.created_at, job.response_deadline
           from job, chat"#,
        job.customer_id.0,
        job.provider_id.0,
        job.service_id.0,
        JobStatus::New.as_str(),
        job.price_cents,
        job.customer_budget_cents,
        job.zipcode,
        job.location,
        job.answers,
        job.images,
        job.requires_in_person_visit,
        job.in_person_visit_cost_cents,
        job.project_size_sqft,
        job.scheduled_at,
        job.response_deadline,
        customer_user.0,
        provider_user.0,
        &senders,
        &sides,
        &texts,
    )
    .fetch_one(tx)
    .await
}
