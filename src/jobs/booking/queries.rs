//! SQL of bookings: the customer, the provider to book, and the new job.

use chrono::{DateTime, Utc};

use super::types::{Availability, Blocks, Booking, UnpaidJob};
use crate::types::{CustomerId, JobId, ProviderId, ServiceId, UserId};
use doors::{Pooler, Tx};

/// The customer who books.
#[derive(Debug)]
pub(crate) struct CustomerRow {
    pub id: CustomerId,
    /// First and last name.
    pub name: String,
    pub is_banned: bool,
}

/// Locks the customer's row until the transaction ends: two bookings of one customer are decided one after the other.
/// The user's row is locked too, so that a ban that was waited for is seen. Returns `None` if this user is not a customer.
pub(crate) async fn lock_customer(tx: &mut Tx<Pooler>, user_id: UserId) -> sqlx::Result<Option<CustomerRow>> {
    sqlx::query_as!(
        CustomerRow,
        r#"select c.id as "id: CustomerId", u.first_name || ' ' || u.last_name as "name!", u.banned_at is not null as "is_banned!"
           from stm.customers c
           join stm.users u on u.id = c.user_id
           where c.user_id = $1
           for no key update of c for share of u"#,
        user_id.0,
    )
    .fetch_optional(tx)
    .await
}

/// A provider who is to be booked for a service.
#[derive(Debug)]
pub(crate) struct CandidateRow {
    pub service_name: String,
    pub user_id: UserId,
    /// The provider's first message in every new chat.
    pub first_message_template: Option<String>,
    pub response_deadline_minutes: i32,
    pub availability: Availability,
    pub blocks: Blocks,
}

/// Reads an approved service and a provider, with all that decides whether the one can be booked with the other.
///
/// The provider's row is share-locked until the transaction ends, by a separate statement: under READ COMMITTED the one
/// that waited for the row lock still sees all other rows as of before the wait.
pub(crate) async fn lock_candidate(
    tx: &mut Tx<Pooler>,
    customer: CustomerId,
    service: ServiceId,
    provider: ProviderId,
    zip_code: &str,
) -> sqlx::Result<Option<CandidateRow>> {
    sqlx::query!("select id from stm.providers where id = $1 for share", provider.0).fetch_optional(&mut *tx).await?;
    let row = sqlx::query!(
        r#"select s.name as service_name, p.user_id as "user_id: UserId", p.first_message_template,
                  t.response_deadline_minutes,
                  p.status = 'active' as "is_active!",
                  exists (select from stm.provider_services x where x.provider_id = p.id and x.service_id = s.id)
                      as "offers_service!",
                  exists (select from stm.provider_zip_codes z where z.provider_id = p.id and z.zip_code = $4)
                      as "serves_zip_code!",
                  unpaid.id as "unpaid_job_id?: JobId", unpaid.business_name as "unpaid_business_name?",
                  exists (select from stm.jobs j
                          where j.customer_id = $1 and j.provider_id = p.id and j.status in ('new', 'in_progress'))
                      as "has_open_job_with_provider!",
                  exists (select from stm.jobs j where j.customer_id = $1 and j.status = 'new' and j.sp_accepted)
                      as "has_accepted_job!"
           from stm.services s
           cross join stm.providers p
           cross join stm.settings t
           left join lateral (
               select j.id, x.business_name
               from stm.jobs j
               join stm.providers x on x.id = j.provider_id
               where j.customer_id = $1 and j.status = 'completed' and x.status <> 'banned'
               order by j.id
               limit 1
           ) unpaid on true
           where s.id = $2 and s.status = 'approved' and p.id = $3"#,
        customer.0,
        service.0,
        provider.0,
        zip_code,
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| CandidateRow {
        service_name: row.service_name,
        user_id: row.user_id,
        first_message_template: row.first_message_template,
        response_deadline_minutes: row.response_deadline_minutes,
        availability: Availability {
            is_active: row.is_active,
            offers_service: row.offers_service,
            serves_zip_code: row.serves_zip_code,
        },
        blocks: Blocks {
            unpaid_job: row
                .unpaid_job_id
                .zip(row.unpaid_business_name)
                .map(|(id, business_name)| UnpaidJob { id, business_name }),
            has_open_job_with_provider: row.has_open_job_with_provider,
            has_accepted_job: row.has_accepted_job,
        },
    }))
}

/// A new job.
#[derive(Debug)]
pub(crate) struct NewJobRow {
    pub id: JobId,
    pub created_at: DateTime<Utc>,
    pub response_deadline: DateTime<Utc>,
}

/// Inserts a new job with its first audit row: one statement.
pub(crate) async fn insert(
    tx: &mut Tx<Pooler>,
    (customer, user): (CustomerId, UserId),
    booking: &Booking,
    response_deadline: DateTime<Utc>,
) -> sqlx::Result<NewJobRow> {
    sqlx::query_as!(
        NewJobRow,
        r#"with job as (
               insert into stm.jobs (
                   customer_id, provider_id, service_id, status, price_cents, customer_budget_cents, zipcode, location, answers,
                   images, requires_in_person_visit, in_person_visit_cost_cents, project_size_sqft, scheduled_at, preferred_at,
                   response_deadline)
               select $1, $2, $3, 'new', coalesce($4, 0::bigint), $4, $5, $6, $7, $8, $9,
                      case when $9 then coalesce($10, t.default_in_person_visit_cost_cents) else $10 end, $11, $12, $12, $13
               from stm.settings t
               returning id, created_at, response_deadline
           ), event as (
               insert into stm.job_events (job_id, actor_id, action, to_status)
               select job.id, $14, 'book', 'new' from job
           )
           select id as "id: JobId", created_at, response_deadline from job"#,
        customer.0,
        booking.provider_id.0,
        booking.service_id.0,
        booking.customer_budget.map(|budget| budget.0),
        booking.zipcode,
        booking.location,
        booking.answers,
        &booking.images,
        booking.requires_in_person_visit,
        booking.in_person_visit_cost.map(|cost| cost.0),
        booking.project_size_sqft,
        booking.scheduled_at,
        response_deadline,
        user.0,
    )
    .fetch_one(tx)
    .await
}
