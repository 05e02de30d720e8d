//! SQL of jobs that change, their audit rows and payments, through either door.

use chrono::{DateTime, Utc};

use super::types::{Action, JobState, OpenOffer, PaymentMethod, Settings, Terms};
use crate::types::{Cents, ChatId, CustomerId, JobId, JobStatus, OfferId, Party, ProviderId, ServiceId, UserId};
use doors::{Door, Pooler, Tx};

/// Locks a job until the transaction ends. Returns `false` if there is no such job, if it never was this user's, or if
/// the user is banned.
pub(super) async fn lock<D: Door>(tx: &mut Tx<D>, id: JobId, user: UserId) -> sqlx::Result<bool> {
    let row = sqlx::query!(
        r#"select j.id
           from stm.jobs j
           where j.id = $1
             and exists (select from stm.users u where u.id = $2 and u.banned_at is null)
             and (exists (select from stm.customers c where c.id = j.customer_id and c.user_id = $2)
                  or exists (select from stm.providers p where p.id = j.provider_id and p.user_id = $2)
                  or exists (select from stm.chats c join stm.chat_members m on m.chat_id = c.id
                             where c.job_id = j.id and m.user_id = $2 and m.side = 'service_provider'))
           for no key update of j"#,
        id.0,
        user.0,
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.is_some())
}

/// Locks a job until the transaction ends, whoever its parties are. Returns `false` if there is none.
pub(super) async fn lock_any(tx: &mut Tx<Pooler>, id: JobId) -> sqlx::Result<bool> {
    let row = sqlx::query!("select id from stm.jobs where id = $1 for no key update", id.0).fetch_optional(tx).await?;
    Ok(row.is_some())
}

/// Locks the job whose deadline has been over the longest, among those that no other transaction has locked. Returns
/// `None` if there is none left but those to be `skipped`.
pub(super) async fn lock_overdue(
    tx: &mut Tx<Pooler>,
    now: DateTime<Utc>,
    skipped: &[i64],
) -> sqlx::Result<Option<JobId>> {
    sqlx::query_scalar!(
        r#"select j.id as "id: JobId"
           from stm.jobs j
           where j.status = 'new' and not j.sp_accepted and not j.pending_approval and j.deadline_missed_at is null
             and j.response_deadline < $1 and j.id <> all($2)
           order by j.response_deadline
           limit 1
           for no key update of j skip locked"#,
        now,
        skipped,
    )
    .fetch_optional(tx)
    .await
}

/// A locked job.
#[derive(Debug)]
pub struct JobRow {
    pub id: JobId,
    pub customer_id: CustomerId,
    pub provider_id: ProviderId,
    pub service_id: ServiceId,
    pub customer_budget: Option<Cents>,
    /// Five digits.
    pub zipcode: String,
    /// The address, in the customer's words.
    pub location: Option<String>,
    /// Answers to the service's questions.
    pub answers: serde_json::Value,
    /// URLs of pictures.
    pub images: Vec<String>,
    pub state: JobState,
    /// The open offer.
    pub offer_id: Option<OfferId>,
    pub offer_count: i64,
    pub parties: Parties,
    pub settings: Settings,
}

/// Whom a job concerns, and what they call it.
#[derive(Debug)]
pub struct Parties {
    pub customer_user_id: UserId,
    /// First and last name.
    pub customer_name: String,
    /// The present provider's user.
    pub provider_user_id: UserId,
    pub business_name: String,
    pub lsm_user_id: UserId,
    pub lsm_id: i64,
    pub service_name: String,
    /// The chat with the present provider.
    pub chat_id: Option<ChatId>,
}

/// Reads a job that this transaction has locked. A separate statement: under READ COMMITTED the one that waited for the
/// row lock still sees all other rows as of before the wait.
pub(super) async fn find<D: Door>(tx: &mut Tx<D>, id: JobId) -> sqlx::Result<JobRow> {
    let row = sqlx::query!(
        r#"select j.customer_id as "customer_id: CustomerId", j.provider_id as "provider_id: ProviderId",
                  j.service_id as "service_id: ServiceId", j.status as "status: JobStatus", j.sp_accepted, j.price_cents,
                  j.customer_budget_cents, j.scheduled_at, j.response_deadline,
                  j.deadline_missed_at is not null as "deadline_missed!", j.completed_at, j.zipcode, j.location, j.answers, j.images,
                  cu.id as "customer_user_id: UserId", cu.first_name || ' ' || cu.last_name as "customer_name!",
                  p.user_id as "provider_user_id: UserId", p.business_name, p.lsm_id,
                  l.user_id as "lsm_user_id: UserId", s.name as service_name, chat.id as "chat_id?: ChatId",
                  o.id as "offer_id?: OfferId", o.offered_by as "offered_by?: Party", o.price_cents as "offered_price_cents?",
                  o.scheduled_at as "offered_date?",
                  (select count(*) from stm.offers x where x.job_id = j.id) as "offer_count!",
                  t.response_deadline_minutes, t.cancellation_fee_percentage, t.warning_threshold
           from stm.jobs j
           join stm.customers c on c.id = j.customer_id
           join stm.users cu on cu.id = c.user_id
           join stm.providers p on p.id = j.provider_id
           join stm.local_service_managers l on l.id = p.lsm_id
           join stm.services s on s.id = j.service_id
           cross join stm.settings t
           left join lateral (
               select ch.id from stm.chats ch where ch.job_id = j.id order by ch.id desc limit 1
           ) chat on true
           left join stm.offers o on o.job_id = j.id and o.status = 'open'
           where j.id = $1"#,
        id.0,
    )
    .fetch_one(tx)
    .await?;
    Ok(JobRow {
        id,
        customer_id: row.customer_id,
        provider_id: row.provider_id,
        service_id: row.service_id,
        customer_budget: row.customer_budget_cents.map(Cents),
        zipcode: row.zipcode,
        location: row.location,
        answers: row.answers,
        images: row.images,
        state: JobState {
            status: row.status,
            sp_accepted: row.sp_accepted,
            offer: row.offered_by.map(|by| OpenOffer {
                by,
                terms: Terms { price: row.offered_price_cents.map(Cents), scheduled_at: row.offered_date },
            }),
            price: Cents(row.price_cents),
            scheduled_at: row.scheduled_at,
            response_deadline: row.response_deadline,
            deadline_missed: row.deadline_missed,
            completed_at: row.completed_at,
        },
        offer_id: row.offer_id,
        offer_count: row.offer_count,
        parties: Parties {
            customer_user_id: row.customer_user_id,
            customer_name: row.customer_name,
            provider_user_id: row.provider_user_id,
            business_name: row.business_name,
            lsm_user_id: row.lsm_user_id,
            lsm_id: row.lsm_id,
            service_name: row.service_name,
            chat_id: row.chat_id,
        },
        settings: Settings {
            response_deadline_minutes: row.response_deadline_minutes,
            cancellation_fee_percentage: row.cancellation_fee_percentage,
            warning_threshold: row.warning_threshold,
        },
    })
}

/// An audit row.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    pub job_id: JobId,
    /// The actor's user; `None` is the platform.
    pub actor_id: Option<UserId>,
    pub action: Action,
    pub reason: Option<&'a str>,
    pub at: DateTime<Utc>,
}

/// Changes a job that is still in state `from`, and inserts the audit row. Returns `false` if the state has changed.
pub(super) async fn set_state<D: Door>(
    tx: &mut Tx<D>,
    from: &JobState,
    to: &JobState,
    event: &Event<'_>,
) -> sqlx::Result<bool> {
    let changed = sqlx::query!(
        "with changed as (
             update stm.jobs
             set status = $5, sp_accepted = $6, pending_approval = $7, price_cents = $8, scheduled_at = $9, response_deadline = $10,
                 deadline_missed_at = case when $11 then coalesce(deadline_missed_at, $15) end, completed_at = $12, updated_at = now()
             where id = $1 and status = $2 and sp_accepted = $3 and pending_approval = $4
             returning id)
         insert into stm.job_events (job_id, actor_id, action, from_status, to_status, reason, at)
         select id, $13, $14, $2, $5, $16, $15 from changed",
        event.job_id.0,
        from.status.as_str(),
        from.sp_accepted,
        from.offer.is_some(),
        to.status.as_str(),
        to.sp_accepted,
        to.offer.is_some(),
        to.price.0,
        to.scheduled_at,
        to.response_deadline,
        to.deadline_missed,
        to.completed_at,
        event.actor_id.map(|id| id.0),
        event.action.as_str(),
        event.at,
        event.reason,
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Inserts the audit row of an action that does not change the job itself.
pub(crate) async fn insert_event<D: Door>(tx: &mut Tx<D>, status: JobStatus, event: &Event<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into stm.job_events (job_id, actor_id, action, from_status, to_status, reason, at)
         values ($1, $2, $3, $4, $4, $5, $6)",
        event.job_id.0,
        event.actor_id.map(|id| id.0),
        event.action.as_str(),
        status.as_str(),
        event.reason,
        event.at,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// The reason of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PaymentKind {
    /// The work.
    Job,
    /// A late cancellation.
    CancellationFee,
}

/// Inserts the payment that is due for a job, once for each kind.
pub(super) async fn insert_payment<D: Door>(
    tx: &mut Tx<D>,
    job: JobId,
    kind: PaymentKind,
    amount: Cents,
) -> sqlx::Result<()> {
    let kind = match kind {
        PaymentKind::Job => "job",
        PaymentKind::CancellationFee => "cancellation_fee",
    };
    sqlx::query!(
        "insert into stm.payments (job_id, kind, amount_cents) values ($1, $2, $3) on conflict (job_id, kind) do nothing",
        job.0,
        kind,
        amount.0,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Marks a job's payment as received, and counts the job and its price for the provider.
///
/// The provider's totals are incremented in place, so that two payments cannot overwrite each other.
pub(super) async fn receive_payment<D: Door>(
    tx: &mut Tx<D>,
    job: &JobRow,
    method: PaymentMethod,
    notes: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "with received as (
             insert into stm.payments (job_id, kind, amount_cents, status, method, notes, marked_at)
             values ($1, 'job', $2, 'received', $3, $4, $5)
             on conflict (job_id, kind) do update
             set amount_cents = excluded.amount_cents, status = 'received', method = excluded.method, notes = excluded.notes,
                 marked_at = excluded.marked_at
             where payments.status = 'pending'
             returning amount_cents)
         update stm.providers
         set earnings_cents = earnings_cents + received.amount_cents, total_jobs = total_jobs + 1, updated_at = now()
         from received
         where id = $6",
        job.id.0,
        job.state.price.0,
        method.as_str(),
        notes,
        now,
        job.provider_id.0,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Adds a warning to a provider. Returns the new number of warnings.
pub(super) async fn warn_provider<D: Door>(tx: &mut Tx<D>, provider: ProviderId) -> sqlx::Result<i32> {
    sqlx::query_scalar!(
        "update stm.providers set warnings = warnings + 1, updated_at = now() where id = $1 returning warnings",
        provider.0,
    )
    .fetch_one(tx)
    .await
}

/// The customer's address, and the provider's templates: `None` where it has none.
#[derive(Debug)]
pub(super) struct MailTemplates {
    pub customer_email: String,
    pub accepted_subject: Option<String>,
    pub accepted_body: Option<String>,
    pub negotiation_subject: Option<String>,
    pub negotiation_body: Option<String>,
}

/// Finds what an e-mail about a job needs.
pub(super) async fn find_mail_templates<D: Door>(tx: &mut Tx<D>, id: JobId) -> sqlx::Result<MailTemplates> {
    sqlx::query_as!(
        MailTemplates,
        "select u.email as customer_email, p.job_accepted_subject as accepted_subject,
                p.job_accepted_body as accepted_body, p.negotiation_subject, p.negotiation_body
         from stm.jobs j
         join stm.customers c on c.id = j.customer_id
         join stm.users u on u.id = c.user_id
         join stm.providers p on p.id = j.provider_id
         where j.id = $1",
        id.0,
    )
    .fetch_one(tx)
    .await
}
