//! Carries out what somebody does with a job: lock, rule, store, tell. One place for REST, sockets and the clock.

use chrono::{DateTime, Utc};

use super::queries::{self, Change, LockedRow, PartiesRow, PaymentKind};
use super::types::{Action, Actor, Outcome, State, Terms};
use super::wording::Told;
use crate::chat;
use crate::db::{Door, Pooler, Tx};
use crate::error::{Error, Result};
use crate::negotiation::{self, OfferView, Proposal};
use crate::notifications;
use crate::outbox::Outbox as News;
use crate::types::{Cents, JobId, OfferId, OfferStatus, Side, UserId};

/// The most offers about one job.
const MAX_OFFERS: i64 = 100;

/// What somebody wants to do with a job.
#[derive(Debug)]
pub struct Command<'a> {
    /// Which job.
    pub job: JobId,
    /// Who.
    pub by: UserId,
    /// What.
    pub action: Action,
    /// Why.
    pub reason: Option<&'a str>,
    /// The offer to be made.
    pub proposal: Option<Proposal>,
    /// The offer that is meant, if the caller says which.
    pub offer: Option<OfferId>,
    /// How the money was received.
    pub payment: Payment<'a>,
}

/// How money was received.
#[derive(Debug, Clone, Copy, Default)]
pub struct Payment<'a> {
    /// `cash`, `card`, `bank_transfer` or `online`.
    pub method: Option<&'a str>,
    /// The provider's own words.
    pub notes: Option<&'a str>,
}

/// What was done, to be told after the commit.
#[derive(Debug)]
pub struct Done {
    /// The job's row, as it was before.
    pub job: LockedRow,
    /// The job afterwards.
    pub state: State,
    /// Whom it concerns.
    pub parties: PartiesRow,
    /// What the customer owes for a late cancellation.
    pub fee: Cents,
    /// The offer that was made.
    pub offer: Option<OfferView>,
    /// What is to be told.
    pub news: News,
}

impl<'a> Command<'a> {
    /// An action that needs nothing else.
    #[must_use]
    pub fn new(job: JobId, by: UserId, action: Action) -> Self {
        Self { job, by, action, reason: None, proposal: None, offer: None, payment: Payment::default() }
    }

    /// Only if this offer is the open one.
    #[must_use]
    pub fn of_offer(self, offer: Option<OfferId>) -> Self {
        Self { offer, ..self }
    }

    /// With a reason.
    #[must_use]
    pub fn because(self, reason: Option<&'a str>) -> Self {
        Self { reason, ..self }
    }
}

/// A job that is locked for one of its parties.
#[derive(Debug)]
pub struct Locked {
    /// Its row.
    pub row: LockedRow,
    /// Whom it concerns.
    pub parties: PartiesRow,
    /// As its rules see it.
    pub state: State,
    /// Which party the caller is.
    pub actor: Actor,
}

/// Locks a job for one of its parties.
///
/// # Errors
/// 404 no such job, it never was this user's, or the user is banned. 409 it is another provider's by now.
pub async fn lock<D: Door>(tx: &mut Tx<D>, job: JobId, by: UserId) -> Result<Locked> {
    let row = queries::lock(tx, job, by).await?.ok_or(Error::NotFound("job"))?;
    let parties = queries::find_parties(tx, row.id).await?;
    let Some(actor) = parties.actor(by) else {
        return Err(Error::Conflict("job_reassigned", "the customer has given this job to another provider".into()));
    };
    let state = row.state(&parties);
    Ok(Locked { row, parties, state, actor })
}

/// Does it, in the caller's transaction. Tell `news` after the commit.
///
/// # Errors
/// 404 no such job, or somebody else's. 409 the job's state does not allow it.
pub async fn carry_out<D: Door>(tx: &mut Tx<D>, command: Command<'_>, now: DateTime<Utc>) -> Result<Done> {
    let Locked { row: job, parties, state: before, actor } = lock(tx, command.job, command.by).await?;
    let Command { action, by, reason, ref proposal, payment, .. } = command;
    if command.offer.is_some() && command.offer != parties.offer_id {
        return Err(Error::Conflict(
            "offer_changed",
            "this offer is not the open one any more: look at the job again".into(),
        ));
    }
    if proposal.is_some() && parties.offer_count >= MAX_OFFERS {
        return Err(Error::Conflict(
            "too_many_offers",
            "this job has had 100 offers: accept, cancel or reject it".into(),
        ));
    }
    let terms = proposal.as_ref().map(|proposal| proposal.terms).unwrap_or_default();
    let outcome = before.apply(actor, action, terms, now, parties.settings)?;

    store(tx, &job, &before, &outcome, action, Some(by), reason, now).await?;
    if outcome.fee > Cents(0) {
        queries::insert_payment(tx, job.id, PaymentKind::CancellationFee, outcome.fee).await?;
    }
    match action {
        Action::MarkComplete => queries::insert_payment(tx, job.id, PaymentKind::Job, before.price).await?,
        Action::MarkPayment => queries::receive_payment(tx, &job, payment.method, payment.notes, now).await?,
        _ => {}
    }
    let offer = match (outcome.state.offer, proposal, parties.chat_id) {
        (Some(open), Some(proposal), Some(chat)) if matches!(action, Action::SendOffer | Action::CounterOffer) => {
            Some(negotiation::queries::insert(tx, job.id, chat, open.by, proposal, now).await?)
        }
        _ => None,
    };

    let told = Told {
        job: job.id,
        action,
        by: Some(by),
        parties: &parties,
        before: &before,
        outcome: &outcome,
        reason,
        proposal: proposal.as_ref(),
    };
    let mut news = News::default();
    for notification in told.notifications() {
        news.notifications.push(notifications::queries::insert(tx, notification).await?);
    }
    // Last, because whoever writes to the chat waits for its row from here to the commit.
    if let Some(chat) = parties.chat_id {
        let side = if actor == super::types::CUSTOMER { Side::Customer } else { Side::ServiceProvider };
        if let Some(text) = told.line() {
            let seq = chat::queries::insert_line(tx, chat, by, side, &text).await?;
            if seq.is_none() && action != Action::Accept {
                return Err(Error::Conflict("chat_closed", "the chat of this job is closed".into()));
            }
            news.lines.extend(seq.map(|seq| (chat, seq)));
        }
        if action == Action::Reject {
            queries::close_chat(tx, chat, now).await?;
        }
    }
    Ok(Done { job, state: outcome.state, parties, fee: outcome.fee, offer, news })
}

/// Acts upon the job whose deadline has been over the longest: warns its provider, and tells both parties.
/// `None`: there is none left.
///
/// # Errors
/// Those of the database; with the job, so that others need not wait for it.
pub async fn miss_deadline(tx: &mut Tx<Pooler>, job: LockedRow, now: DateTime<Utc>) -> Result<News> {
    let parties = queries::find_parties(tx, job.id).await?;
    let before = job.state(&parties);
    let action = Action::MissDeadline;
    let outcome = before.apply(Actor::Platform, action, Terms::default(), now, parties.settings)?;
    store(tx, &job, &before, &outcome, action, None, None, now).await?;
    let warnings = queries::warn_provider(tx, job.provider_id).await?;
    let told = Told {
        job: job.id,
        action,
        by: None,
        parties: &parties,
        before: &before,
        outcome: &outcome,
        reason: None,
        proposal: None,
    };
    let lsm = (warnings >= parties.settings.warning_threshold).then(|| told.too_many_warnings(warnings));
    let mut news = News::default();
    for notification in told.notifications().into_iter().chain(lsm) {
        news.notifications.push(notifications::queries::insert(tx, notification).await?);
    }
    Ok(news)
}

/// Stores the job, its audit row, and what became of the offer that was open.
#[expect(clippy::too_many_arguments, reason = "each is one column of the audit row")]
pub(super) async fn store<D: Door>(
    tx: &mut Tx<D>,
    job: &LockedRow,
    before: &State,
    outcome: &Outcome,
    action: Action,
    actor_id: Option<UserId>,
    reason: Option<&str>,
    now: DateTime<Utc>,
) -> Result<()> {
    let change = Change { id: job.id, from: before, to: &outcome.state, actor_id, action, reason, at: now };
    if !queries::set_state(tx, &change).await? {
        return Err(Error::Conflict("wrong_state", "the job has changed meanwhile: look at it again".into()));
    }
    if let Some(status) = outcome.offer {
        debug_assert!(status != OfferStatus::Open);
        queries::close_offer(tx, job.id, status, now).await?;
    }
    Ok(())
}
