//! Rows of a job that is about to change, through whichever door.

use chrono::{DateTime, Utc};

use super::types::{Action, Actor, OpenOffer, Settings, State, Terms};
use crate::types::{
    Cents, ChatId, CustomerId, JobId, JobStatus, OfferId, OfferStatus, Party, ProviderId, ServiceId, Side, UserId,
};
use doors::{Door, Pooler, Tx};

/// A locked job's own columns.
#[derive(Debug)]
pub struct LockedRow {
    /// Id.
    pub id: JobId,
    /// Who has booked.
    pub customer_id: CustomerId,
    /// Who is booked.
    pub provider_id: ProviderId,
    /// What.
    pub service_id: ServiceId,
    /// Where it is.
    pub status: JobStatus,
    /// Agreed to the present terms?
    pub sp_accepted: bool,
    /// Is an offer open?
    pub pending_approval: bool,
    /// In cents.
    pub price_cents: i64,
    /// The customer's budget, in cents.
    pub customer_budget_cents: Option<i64>,
    /// When.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// Until when the provider should answer.
    pub response_deadline: DateTime<Utc>,
    /// Was the deadline acted upon?
    pub deadline_missed: bool,
    /// When the work was done.
    pub completed_at: Option<DateTime<Utc>>,
    /// Where: five digits.
    pub zipcode: String,
    /// Where, in the customer's words.
    pub location: Option<String>,
    /// Answers to the service's questions.
    pub answers: serde_json::Value,
}

/// Locks a job until the transaction ends. `None`: there is no such job, it never was this user's, or the user is banned.
///
/// # Errors
/// Those of the database.
pub async fn lock<D: Door>(tx: &mut Tx<D>, id: JobId, user: UserId) -> sqlx::Result<Option<LockedRow>> {
    sqlx::query_as!(
        LockedRow,
        r#"select j.id as "id: JobId", j.customer_id as "customer_id: CustomerId", j.provider_id as "provider_id: ProviderId",
                  j.service_id as "service_id: ServiceId", j.status as "status: JobStatus", j.sp_accepted, j.pending_approval,
                  j.price_cents, j.customer_budget_cents, j.scheduled_at, j.response_deadline,
                  j.deadline_missed_at is not null as "deadline_missed!", j.completed_at, j.zipcode, j.location, j.answers
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
    .await
}

/// Locks the job whose deadline has been over the longest, among those that nobody else is working at.
/// `None`: there is none left but those to be `skipped`.
///
/// # Errors
/// Those of the database.
pub async fn lock_overdue(tx: &mut Tx<Pooler>, now: DateTime<Utc>, skipped: &[i64]) -> sqlx::Result<Option<LockedRow>> {
    sqlx::query_as!(
        LockedRow,
        r#"select j.id as "id: JobId", j.customer_id as "customer_id: CustomerId", j.provider_id as "provider_id: ProviderId",
                  j.service_id as "service_id: ServiceId", j.status as "status: JobStatus", j.sp_accepted, j.pending_approval,
                  j.price_cents, j.customer_budget_cents, j.scheduled_at, j.response_deadline,
                  j.deadline_missed_at is not null as "deadline_missed!", j.completed_at, j.zipcode, j.location, j.answers
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

/// Whom a job concerns, and what its rules need beyond its own row.
#[derive(Debug)]
pub struct PartiesRow {
    /// The customer's user.
    pub customer_user_id: UserId,
    /// First and last name.
    pub customer_name: String,
    /// The present provider's user.
    pub provider_user_id: UserId,
    /// The name of the business.
    pub business_name: String,
    /// The user of the provider's LSM.
    pub lsm_user_id: UserId,
    /// The provider's LSM.
    pub lsm_id: i64,
    /// The service's name.
    pub service_name: String,
    /// The chat with the present provider.
    pub chat_id: Option<ChatId>,
    /// The offer that waits for an answer.
    pub offer: Option<OpenOffer>,
    /// Its id.
    pub offer_id: Option<OfferId>,
    /// How many offers there have been.
    pub offer_count: i64,
    /// The marketplace's settings.
    pub settings: Settings,
}

/// Reads what belongs to a locked job. A statement of its own, because the one that waits for the lock sees
/// everything else as it was before the wait.
///
/// # Errors
/// Those of the database.
pub async fn find_parties<D: Door>(tx: &mut Tx<D>, id: JobId) -> sqlx::Result<PartiesRow> {
    let row = sqlx::query!(
        r#"select cu.id as "customer_user_id: UserId", cu.first_name || ' ' || cu.last_name as "customer_name!",
                  p.user_id as "provider_user_id: UserId", p.business_name, p.lsm_id,
                  l.user_id as "lsm_user_id: UserId", s.name as service_name,
                  chat.id as "chat_id?: ChatId",
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
    Ok(PartiesRow {
        customer_user_id: row.customer_user_id,
        customer_name: row.customer_name,
        provider_user_id: row.provider_user_id,
        business_name: row.business_name,
        lsm_user_id: row.lsm_user_id,
        lsm_id: row.lsm_id,
        service_name: row.service_name,
        chat_id: row.chat_id,
        offer: row.offered_by.map(|by| OpenOffer {
            by,
            terms: Terms { price: row.offered_price_cents.map(Cents), scheduled_at: row.offered_date },
        }),
        offer_id: row.offer_id,
        offer_count: row.offer_count,
        settings: Settings {
            response_deadline_minutes: row.response_deadline_minutes,
            cancellation_fee_percentage: row.cancellation_fee_percentage,
            warning_threshold: row.warning_threshold,
        },
    })
}

/// A change of a job.
#[derive(Debug)]
pub struct Change<'a> {
    /// Which job.
    pub id: JobId,
    /// As it was.
    pub from: &'a State,
    /// As it becomes.
    pub to: &'a State,
    /// Who does it; `None` is the platform.
    pub actor_id: Option<UserId>,
    /// What is done.
    pub action: Action,
    /// Why.
    pub reason: Option<&'a str>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Changes a job if it still is as it was, and writes the audit row. `false`: it is not.
///
/// # Errors
/// Those of the database.
pub async fn set_state<D: Door>(tx: &mut Tx<D>, change: &Change<'_>) -> sqlx::Result<bool> {
    let Change { from, to, .. } = change;
    let changed = sqlx::query!(
        "with changed as (
             update stm.jobs
             set status = $5, sp_accepted = $6, pending_approval = $7, price_cents = $8, scheduled_at = $9, response_deadline = $10,
                 deadline_missed_at = case when $11 then coalesce(deadline_missed_at, $15) end, completed_at = $12, updated_at = now()
             where id = $1 and status = $2 and sp_accepted = $3 and pending_approval = $4
             returning id)
         insert into stm.job_events (job_id, actor_id, action, from_status, to_status, reason, at)
         select id, $13, $14, $2, $5, $16, $15 from changed",
        change.id.0,
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
        change.actor_id.map(|id| id.0),
        change.action.as_str(),
        change.at,
        change.reason,
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Writes an audit row of what does not change the job itself.
///
/// # Errors
/// Those of the database.
pub async fn insert_event<D: Door>(
    tx: &mut Tx<D>,
    id: JobId,
    actor_id: UserId,
    action: Action,
    status: JobStatus,
    reason: Option<&str>,
) -> sqlx::Result<()> {
    let status = status.as_str();
    sqlx::query!(
        "insert into stm.job_events (job_id, actor_id, action, from_status, to_status, reason)
         values ($1, $2, $3, $4, $4, $5)",
        id.0,
        actor_id.0,
        action.as_str(),
        status,
        reason,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Answers the open offer of a job.
///
/// # Errors
/// Those of the database.
pub async fn close_offer<D: Door>(
    tx: &mut Tx<D>,
    job: JobId,
    status: OfferStatus,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.offers set status = $2, answered_at = $3 where job_id = $1 and status = 'open'",
        job.0,
        status.as_str(),
        now,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Closes a chat; it is kept.
///
/// # Errors
/// Those of the database.
pub async fn close_chat<D: Door>(tx: &mut Tx<D>, chat: ChatId, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!("update stm.chats set closed_at = $2 where id = $1 and closed_at is null", chat.0, now)
        .execute(tx)
        .await
        .map(drop)
}

/// What a payment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentKind {
    /// The work.
    Job,
    /// A late cancellation.
    CancellationFee,
}

/// Notes that an amount is owed for a job; once for each kind.
///
/// # Errors
/// Those of the database.
pub async fn insert_payment<D: Door>(tx: &mut Tx<D>, job: JobId, kind: PaymentKind, amount: Cents) -> sqlx::Result<()> {
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

/// Notes that a job's money was received, and counts the job and its price for the provider.
///
/// The provider's numbers are raised where they are, so that no two payments can overwrite each other.
///
/// # Errors
/// Those of the database.
pub async fn receive_payment<D: Door>(
    tx: &mut Tx<D>,
    job: &LockedRow,
    method: Option<&str>,
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
        job.price_cents,
        method,
        notes,
        now,
        job.provider_id.0,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Warns a provider; gives how many warnings it has now.
///
/// # Errors
/// Those of the database.
pub async fn warn_provider(tx: &mut Tx<Pooler>, provider: ProviderId) -> sqlx::Result<i32> {
    sqlx::query_scalar!(
        "update stm.providers set warnings = warnings + 1, updated_at = now() where id = $1 returning warnings",
        provider.0,
    )
    .fetch_one(tx)
    .await
}

/// A line that a new chat begins with.
#[derive(Debug)]
pub struct Line {
    /// Who says it.
    pub sender_id: UserId,
    /// On which side.
    pub side: Side,
    /// What.
    pub text: String,
}

/// A job that another provider was given.
#[derive(Debug)]
pub struct GivenRow {
    /// When the job was first requested.
    pub job_created_at: DateTime<Utc>,
    /// The new chat.
    pub chat_id: ChatId,
    /// Now.
    pub chat_created_at: DateTime<Utc>,
}

/// Gives a job to another provider: closes its chats, and opens one with its first lines. One statement, so that none
/// is there without the others.
///
/// # Errors
/// Those of the database.
#[expect(clippy::too_many_arguments, reason = "each is one parameter of the statement")]
pub async fn set_provider(
    tx: &mut Tx<Pooler>,
    job: JobId,
    provider: ProviderId,
    customer_budget: Option<Cents>,
    scheduled_at: Option<DateTime<Utc>>,
    customer_user: UserId,
    provider_user: UserId,
    lines: &[Line],
) -> sqlx::Result<GivenRow> {
    let senders: Vec<i64> = lines.iter().map(|line| line.sender_id.0).collect();
    let sides: Vec<String> = lines.iter().map(|line| line.side.as_str().to_owned()).collect();
    let texts: Vec<String> = lines.iter().map(|line| line.text.clone()).collect();
    sqlx::query_as!(
        GivenRow,
        r#"with given as (
               update stm.jobs set provider_id = $2, customer_budget_cents = $3, preferred_at = $9 where id = $1 returning id, created_at
           ), closed as (
               update stm.chats set closed_at = now() where job_id = $1 and closed_at is null
           ), chat as (
               insert into stm.chats (last_seq, job_id)
               select cardinality($6::bigint[]), given.id from given
               returning id, created_at
           ), members as (
               insert into stm.chat_members (chat_id, user_id, side)
               select chat.id, member.user_id, member.side
               from chat, (values ($4::bigint, 'customer'), ($5::bigint, 'service_provider')) as member (user_id, side)
           ), lines as (
               insert into stm.messages (chat_id, seq, sender_id, sender_type, message)
               select chat.id, line.seq, line.sender_id, line.side, line.text
               from chat, unnest($6::bigint[], $7::text[], $8::text[]) with ordinality as line (sender_id, side, text, seq)
           )
           select given.created_at as job_created_at, chat.id as "chat_id: ChatId", chat.created_at as chat_created_at
           from given, chat"#,
        job.0,
        provider.0,
        customer_budget.map(|budget| budget.0),
        customer_user.0,
        provider_user.0,
        &senders,
        &sides,
        &texts,
        scheduled_at,
    )
    .fetch_one(tx)
    .await
}

impl LockedRow {
    /// The job as its rules see it.
    #[must_use]
    pub fn state(&self, parties: &PartiesRow) -> State {
        State {
            status: self.status,
            sp_accepted: self.sp_accepted,
            offer: parties.offer,
            price: Cents(self.price_cents),
            scheduled_at: self.scheduled_at,
            response_deadline: self.response_deadline,
            deadline_missed: self.deadline_missed,
            completed_at: self.completed_at,
        }
    }
}

impl PartiesRow {
    /// Which party a user is; `None`: neither, any more.
    #[must_use]
    pub fn actor(&self, user: UserId) -> Option<Actor> {
        if user == self.customer_user_id {
            Some(Actor::Party(Party::Customer))
        } else if user == self.provider_user_id {
            Some(Actor::Party(Party::ServiceProvider))
        } else {
            None
        }
    }
}
