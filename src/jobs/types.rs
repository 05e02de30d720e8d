//! Jobs and the commands on them: no I/O. The rules are in `rules.rs`.

use std::fmt;

use chrono::{DateTime, Duration, Utc};

use super::offers::Proposal;
use crate::types::{Cents, JobStatus, OfferId, OfferStatus, Party, text_enum};

text_enum! {
    /// An action on a job, as its audit rows name it.
    Action {
        /// A customer books.
        Book = "book",
        /// The provider takes the job as it is, or the customer's open offer.
        Accept = "accept",
        /// The provider turns the job down.
        Reject = "reject",
        /// A party offers other terms.
        SendOffer = "send_offer",
        /// A party takes the other's offer.
        AcceptOffer = "accept_offer",
        /// A party does not take the other's offer.
        DeclineOffer = "decline_offer",
        /// A party answers the other's offer with its own.
        CounterOffer = "counter_offer",
        /// The customer closes the deal: work may begin.
        CloseDeal = "close_deal",
        /// The customer cancels the job.
        Cancel = "cancel",
        /// The customer asks another provider.
        Reassign = "reassign",
        /// The customer asks the same provider again.
        Resend = "resend",
        /// The provider has done the work.
        MarkComplete = "mark_complete",
        /// The provider has received the money.
        MarkPayment = "mark_payment",
        /// The provider asks the customer to pay.
        SendInvoice = "send_invoice",
        /// An online payment has failed.
        FailPayment = "fail_payment",
        /// The invoice cannot be paid any more.
        VoidInvoice = "void_invoice",
        /// An online payment was refunded, in part or in full.
        Refund = "refund",
        /// The provider has missed the deadline.
        MissDeadline = "miss_deadline",
        /// The customer reviews the job.
        Review = "review",
        /// The customer disputes the job.
        Dispute = "dispute",
        /// The LSM has resolved the dispute.
        ResolveDispute = "resolve_dispute",
    }
}

impl Action {
    /// The action in words that continue "you can" or "you cannot".
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Book => "book it",
            Self::Accept => "accept it",
            Self::Reject => "reject it",
            Self::SendOffer => "make an offer",
            Self::AcceptOffer => "accept the offer",
            Self::DeclineOffer => "decline the offer",
            Self::CounterOffer => "make a counter-offer",
            Self::CloseDeal => "close the deal",
            Self::Cancel => "cancel it",
            Self::Reassign => "give it to another provider",
            Self::Resend => "send it again",
            Self::MarkComplete => "mark it as completed",
            Self::MarkPayment => "mark it as paid",
            Self::SendInvoice => "send an invoice for it",
            Self::FailPayment => "fail its payment",
            Self::VoidInvoice => "void its invoice",
            Self::Refund => "refund it",
            Self::MissDeadline => "miss its deadline",
            Self::Review => "review it",
            Self::Dispute => "dispute it",
            Self::ResolveDispute => "resolve its dispute",
        }
    }
}

text_enum! {
    /// A method of payment.
    PaymentMethod {
        /// In notes and coins.
        Cash = "cash",
        /// By card.
        Card = "card",
        /// By bank transfer.
        BankTransfer = "bank_transfer",
        /// By an online service.
        Online = "online",
    }
}

/// A command on a job, with what it needs. An offer that it names must be the open one.
#[derive(Debug, Clone)]
pub enum Command {
    /// The provider takes the job: as it is, or as the customer's open offer has it.
    Accept { offer: Option<OfferId> },
    /// The provider turns the job down.
    Reject { reason: Option<String> },
    /// A party offers other terms.
    SendOffer { proposal: Proposal },
    /// A party takes the other's offer.
    AcceptOffer { offer: Option<OfferId> },
    /// A party does not take the other's offer.
    DeclineOffer { offer: Option<OfferId> },
    /// A party answers the other's offer with its own.
    CounterOffer { offer: Option<OfferId>, proposal: Proposal },
    /// The customer closes the deal: work may begin.
    CloseDeal,
    /// The customer cancels the job.
    Cancel { reason: Option<String> },
    /// The customer asks another provider.
    Reassign {
        /// The new budget.
        price: Option<Cents>,
        /// The new date; `None` keeps the present one.
        scheduled_at: Option<DateTime<Utc>>,
    },
    /// The customer asks the same provider again.
    Resend,
    /// The provider has done the work.
    MarkComplete,
    /// The provider, or the platform online, has received the money.
    MarkPayment { method: PaymentMethod, notes: Option<String> },
    /// The provider asks the customer to pay.
    SendInvoice,
    /// An online payment has failed.
    FailPayment,
    /// The invoice cannot be paid any more.
    VoidInvoice,
    /// An online payment was refunded, in part or in full.
    Refund {
        /// The amount of all refunds so far.
        refunded: Cents,
    },
    /// The provider has missed the deadline.
    MissDeadline,
    /// The customer reviews the job.
    Review,
    /// The customer disputes the job.
    Dispute,
}

impl Command {
    /// The action as rules and audit rows name it.
    #[must_use]
    pub const fn action(&self) -> Action {
        match self {
            Self::Accept { .. } => Action::Accept,
            Self::Reject { .. } => Action::Reject,
            Self::SendOffer { .. } => Action::SendOffer,
            Self::AcceptOffer { .. } => Action::AcceptOffer,
            Self::DeclineOffer { .. } => Action::DeclineOffer,
            Self::CounterOffer { .. } => Action::CounterOffer,
            Self::CloseDeal => Action::CloseDeal,
            Self::Cancel { .. } => Action::Cancel,
            Self::Reassign { .. } => Action::Reassign,
            Self::Resend => Action::Resend,
            Self::MarkComplete => Action::MarkComplete,
            Self::MarkPayment { .. } => Action::MarkPayment,
            Self::SendInvoice => Action::SendInvoice,
            Self::FailPayment => Action::FailPayment,
            Self::VoidInvoice => Action::VoidInvoice,
            Self::Refund { .. } => Action::Refund,
            Self::MissDeadline => Action::MissDeadline,
            Self::Review => Action::Review,
            Self::Dispute => Action::Dispute,
        }
    }

    /// Whether the job itself stays as it is: only the audit row and the notifications are new.
    #[must_use]
    pub const fn leaves_job(&self) -> bool {
        matches!(
            self,
            Self::SendInvoice
                | Self::FailPayment
                | Self::VoidInvoice
                | Self::Refund { .. }
                | Self::Review
                | Self::Dispute
        )
    }

    /// The reason given, for the audit row and the other party.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        if let Self::Reject { reason } | Self::Cancel { reason } = self { reason.as_deref() } else { None }
    }

    /// The offer that is to be made.
    #[must_use]
    pub const fn proposal(&self) -> Option<&Proposal> {
        if let Self::SendOffer { proposal } | Self::CounterOffer { proposal, .. } = self {
            Some(proposal)
        } else {
            None
        }
    }

    /// The offer that must be the open one, if the caller names it.
    #[must_use]
    pub const fn named_offer(&self) -> Option<OfferId> {
        if let Self::Accept { offer }
        | Self::AcceptOffer { offer }
        | Self::DeclineOffer { offer }
        | Self::CounterOffer { offer, .. } = self
        {
            *offer
        } else {
            None
        }
    }
}

/// The actor of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The customer or the provider of the job.
    Party(Party),
    /// The platform: after a deadline, or for Stripe.
    Platform,
}

/// The customer as an actor.
pub(super) const CUSTOMER: Actor = Actor::Party(Party::Customer);
/// The provider as an actor.
pub(super) const PROVIDER: Actor = Actor::Party(Party::ServiceProvider);

/// The marketplace's settings that the rules depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    pub response_deadline_minutes: i32,
    /// A late cancellation's share of the price.
    pub cancellation_fee_percentage: i32,
    /// The number of warnings from which on the LSM is notified.
    pub warning_threshold: i32,
}

impl Settings {
    /// The response deadline of a request sent at `now`.
    #[must_use]
    pub fn deadline(self, now: DateTime<Utc>) -> DateTime<Utc> {
        now + Duration::minutes(self.response_deadline_minutes.into())
    }
}

/// The terms an offer changes; `None` is not changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    pub price: Option<Cents>,
    pub scheduled_at: Option<DateTime<Utc>>,
}

/// An offer that waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOffer {
    pub by: Party,
    pub terms: Terms,
}

/// A job as its rules see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobState {
    pub status: JobStatus,
    /// While new: whether the provider, or the customer, has agreed to the present terms.
    pub sp_accepted: bool,
    /// While new: the offer that waits for an answer.
    pub offer: Option<OpenOffer>,
    /// The agreed price, or the budget, or 0.
    pub price: Cents,
    pub scheduled_at: Option<DateTime<Utc>>,
    pub response_deadline: DateTime<Utc>,
    /// Whether the platform has acted upon this deadline.
    pub deadline_missed: bool,
    pub completed_at: Option<DateTime<Utc>>,
}

impl JobState {
    /// A job that was booked, or given to another provider, at `now`.
    #[must_use]
    pub fn new(price: Cents, scheduled_at: Option<DateTime<Utc>>, now: DateTime<Utc>, settings: Settings) -> Self {
        Self {
            status: JobStatus::New,
            sp_accepted: false,
            offer: None,
            price,
            scheduled_at,
            response_deadline: settings.deadline(now),
            deadline_missed: false,
            completed_at: None,
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.status {
            JobStatus::New => "new",
            JobStatus::InProgress => "in progress",
            JobStatus::Completed => "completed",
            JobStatus::Paid => "paid",
            JobStatus::Cancelled => "cancelled",
            JobStatus::RejectedBySp => "rejected",
        })?;
        if self.status != JobStatus::New {
            return Ok(());
        }
        let offer = match self.offer {
            Some(OpenOffer { by: Party::Customer, .. }) => ", an offer of the customer is open",
            Some(OpenOffer { by: Party::ServiceProvider, .. }) => ", an offer of the provider is open",
            None => "",
        };
        write!(f, " ({}{offer})", if self.sp_accepted { "accepted" } else { "not accepted" })
    }
}

/// The effect of a command on a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateChange {
    /// The state after the command.
    pub state: JobState,
    /// The new status of the offer that was open.
    pub offer: Option<OfferStatus>,
    /// The fee for a late cancellation.
    pub fee: Cents,
}
