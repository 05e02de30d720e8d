//! The three steps of every change of a job, for REST, sockets and the worker: load for update, apply a rule, store.

use chrono::{DateTime, Utc};

use super::mails::{self, MailKind};
use super::offers::{self, OfferView};
use super::queries::{self, Event, JobRow, PaymentKind};
use super::types::{Actor, CUSTOMER, Command, StateChange};
use crate::chat;
use crate::error::{Error, Result};
use crate::notifications::NewNotification;
use crate::outbox::Outbox;
use crate::types::{Cents, ChatId, JobId, Party, Side, UserId};
use doors::{Door, Pooler, Tx};

/// A job that is locked until the transaction ends, for one of its parties or for the platform.
#[derive(Debug)]
pub struct Job {
    pub row: JobRow,
    actor: Actor,
    /// The actor's user; `None` is the platform by itself.
    actor_id: Option<UserId>,
}

/// A change of a job that its rules allow, to be stored.
#[derive(Debug)]
pub struct Transition {
    pub command: Command,
    pub change: StateChange,
    pub at: DateTime<Utc>,
}

/// The result of a stored transition.
#[derive(Debug)]
pub struct Stored {
    /// The new offer, if the command makes one.
    pub offer: Option<OfferView>,
    /// To be published after the commit.
    pub outbox: Outbox,
}

impl Job {
    /// Locks a job for one of its parties.
    ///
    /// # Errors
    /// 404 no such job, not this user's, or the user is banned. 409 it was given to another provider.
    pub async fn load_for_update<D: Door>(tx: &mut Tx<D>, id: JobId, user: UserId) -> Result<Self> {
        if !queries::lock(tx, id, user).await? {
            return Err(Error::NotFound("job"));
        }
        let row = queries::find(tx, id).await?;
        let actor = if user == row.parties.customer_user_id {
            Party::Customer
        } else if user == row.parties.provider_user_id {
            Party::ServiceProvider
        } else {
            return Err(Error::Conflict(
                "job_reassigned",
                "the customer has given this job to another provider".into(),
            ));
        };
        Ok(Self { row, actor: Actor::Party(actor), actor_id: Some(user) })
    }

    /// Locks a job for the platform, which acts by itself or for somebody who is none of its parties: an admin or an LSM.
    ///
    /// # Errors
    /// 404 no such job.
    pub(crate) async fn load_for_platform(tx: &mut Tx<Pooler>, id: JobId, by: Option<UserId>) -> Result<Self> {
        if !queries::lock_any(tx, id).await? {
            return Err(Error::NotFound("job"));
        }
        Ok(Self { row: queries::find(tx, id).await?, actor: Actor::Platform, actor_id: by })
    }

    /// Reads a job that this transaction has locked, for the platform.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn load_overdue(tx: &mut Tx<Pooler>, id: JobId) -> Result<Self> {
        Ok(Self { row: queries::find(tx, id).await?, actor: Actor::Platform, actor_id: None })
    }

    /// Applies the rules to a command.
    ///
    /// # Errors
    /// 409 the job's state does not allow it, or the named offer is no longer the open one.
    pub fn apply(&self, command: Command, now: DateTime<Utc>) -> Result<Transition> {
        offers::check(&command, self.row.offer_id, self.row.offer_count)?;
        let change = self.row.state.apply(self.actor, &command, now, self.row.settings)?;
        Ok(Transition { command, change, at: now })
    }

    /// Stores a transition: state, audit row, offers, payments, notifications, and the actor's message in the chat.
    /// Publish [`Stored::outbox`] after the commit.
    ///
    /// # Errors
    /// 409 the chat of the job is closed.
    pub async fn store<D: Door>(&self, tx: &mut Tx<D>, transition: &Transition) -> Result<Stored> {
        self.store_state(tx, transition).await?;
        let mut notifications = transition.notifications(self);
        self.store_payments(tx, transition).await?;
        notifications.extend(self.warn_provider(tx, transition).await?);
        let mut stored = Stored { offer: self.store_offer(tx, transition).await?, outbox: Outbox::default() };
        stored.outbox.notify(tx, notifications).await?;
        if let Some(kind) = self.mail_kind(&transition.command) {
            mails::queue(tx, self, kind).await?;
        }
        if let Some(chat) = self.row.parties.chat_id {
            // Last: other writers to the chat wait for its row lock from here to the commit.
            self.store_message(tx, transition, chat, &mut stored.outbox).await?;
            offers::emit(&mut stored.outbox, chat, self, transition, stored.offer.as_ref());
        }
        Ok(stored)
    }

    /// The party that acts; `None` is the platform.
    #[must_use]
    pub const fn party(&self) -> Option<Party> {
        match self.actor {
            Actor::Party(party) => Some(party),
            Actor::Platform => None,
        }
    }

    /// The e-mail to the customer that a command of the provider causes.
    const fn mail_kind(&self, command: &Command) -> Option<MailKind> {
        match (self.actor, command) {
            (Actor::Party(Party::ServiceProvider), Command::Accept { .. } | Command::AcceptOffer { .. }) => {
                Some(MailKind::Accepted)
            }
            (Actor::Party(Party::ServiceProvider), Command::SendOffer { .. } | Command::CounterOffer { .. }) => {
                Some(MailKind::Negotiation)
            }
            _ => None,
        }
    }

    async fn store_state<D: Door>(&self, tx: &mut Tx<D>, transition: &Transition) -> Result<()> {
        let Transition { command, change, at } = transition;
        let event = Event {
            job_id: self.row.id,
            actor_id: self.actor_id,
            action: command.action(),
            reason: command.reason(),
            at: *at,
        };
        let before = &self.row.state;
        if command.leaves_job() {
            queries::insert_event(tx, before.status, &event).await?;
        } else if !queries::set_state(tx, before, &change.state, &event).await? {
            return Err(Error::Conflict("wrong_state", "the job has changed in the meantime: look at it again".into()));
        }
        if let Some(status) = change.offer {
            offers::queries::close(tx, self.row.id, status, *at).await?;
        }
        Ok(())
    }

    async fn store_payments<D: Door>(&self, tx: &mut Tx<D>, transition: &Transition) -> Result<()> {
        let (id, fee) = (self.row.id, transition.change.fee);
        match &transition.command {
            Command::MarkComplete => {
                queries::insert_payment(tx, id, PaymentKind::Job, self.row.state.price).await?;
            }
            Command::MarkPayment { method, notes } => {
                queries::receive_payment(tx, &self.row, *method, notes.as_deref(), transition.at).await?;
            }
            Command::Cancel { .. } if fee > Cents(0) => {
                queries::insert_payment(tx, id, PaymentKind::CancellationFee, fee).await?;
            }
            Command::Accept { .. }
            | Command::Reject { .. }
            | Command::SendOffer { .. }
            | Command::AcceptOffer { .. }
            | Command::DeclineOffer { .. }
            | Command::CounterOffer { .. }
            | Command::CloseDeal
            | Command::Cancel { .. }
            | Command::Reassign { .. }
            | Command::Resend
            | Command::SendInvoice
            | Command::FailPayment
            | Command::VoidInvoice
            | Command::Refund { .. }
            | Command::MissDeadline
            | Command::Review
            | Command::Dispute => {}
        }
        Ok(())
    }

    /// Warns the provider of a missed deadline. Returns the notification for its LSM, if there are too many warnings.
    async fn warn_provider<D: Door>(&self, tx: &mut Tx<D>, transition: &Transition) -> Result<Option<NewNotification>> {
        if !matches!(transition.command, Command::MissDeadline) {
            return Ok(None);
        }
        let warnings = queries::warn_provider(tx, self.row.provider_id).await?;
        Ok((warnings >= self.row.settings.warning_threshold).then(|| self.too_many_warnings(warnings)))
    }

    async fn store_offer<D: Door>(&self, tx: &mut Tx<D>, transition: &Transition) -> Result<Option<OfferView>> {
        let (Some(proposal), Some(by)) = (transition.command.proposal(), self.party()) else { return Ok(None) };
        let chat = self.row.parties.chat_id.ok_or_else(offers::no_chat)?;
        Ok(Some(offers::queries::insert(tx, self.row.id, chat, by, proposal, transition.at).await?))
    }

    async fn store_message<D: Door>(
        &self,
        tx: &mut Tx<D>,
        transition: &Transition,
        chat: ChatId,
        outbox: &mut Outbox,
    ) -> Result<()> {
        if let (Some(text), Some(sender)) = (transition.chat_message(self), self.actor_id) {
            let side = if self.actor == CUSTOMER { Side::Customer } else { Side::ServiceProvider };
            let seq = chat::queries::insert_message(tx, chat, sender, side, &text).await?;
            match seq {
                Some(seq) => outbox.message(chat, seq),
                None if matches!(transition.command, Command::Accept { .. }) => {}
                None => return Err(Error::Conflict("chat_closed", "the chat of this job is closed".into())),
            }
        }
        if matches!(transition.command, Command::Reject { .. }) {
            chat::job_chats::close(tx, self.row.id, transition.at).await?;
        }
        Ok(())
    }
}
