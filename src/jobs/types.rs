//! What a job is, and the rules by which it changes: no I/O, and `now` is an argument.
//!
//! [`RULES`] is the whole state machine: who may do what in which state. [`State::apply`] is what it does.

use std::fmt;

use chrono::{DateTime, Duration, Utc};

use crate::error::Error;
use crate::types::{Cents, JobStatus, OfferStatus, Party, text_enum};

text_enum! {
    /// What is done with a job, as its audit rows name it.
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
        /// The customer gives the job up.
        Cancel = "cancel",
        /// The customer asks another provider.
        Reassign = "reassign",
        /// The customer asks the same provider again.
        Resend = "resend",
        /// The provider has done the work.
        MarkComplete = "mark_complete",
        /// The provider has received the money.
        MarkPayment = "mark_payment",
        /// The provider has let the deadline pass.
        MissDeadline = "miss_deadline",
        /// The customer reviews the job.
        Review = "review",
        /// The customer disputes the job.
        Dispute = "dispute",
        /// The LSM has settled the dispute.
        ResolveDispute = "resolve_dispute",
    }
}

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// One of the two who have a job together.
    Party(Party),
    /// The platform itself, when time has passed.
    Platform,
}

/// The customer acts.
pub const CUSTOMER: Actor = Actor::Party(Party::Customer);
/// The provider acts.
pub const PROVIDER: Actor = Actor::Party(Party::ServiceProvider);

/// Under this time before the appointment a cancellation costs a fee.
const FREE_CANCELLATION: Duration = Duration::hours(96);

/// The marketplace's settings that the rules depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long a provider has to answer.
    pub response_deadline_minutes: i32,
    /// A late cancellation's share of the price.
    pub cancellation_fee_percentage: i32,
    /// From how many warnings on the LSM is told.
    pub warning_threshold: i32,
}

/// What an offer would change; `None` stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// The price.
    pub price: Option<Cents>,
    /// The date.
    pub scheduled_at: Option<DateTime<Utc>>,
}

/// An offer that waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOffer {
    /// Who made it.
    pub by: Party,
    /// What it would change.
    pub terms: Terms,
}

/// A job as its rules see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Where it is.
    pub status: JobStatus,
    /// While new: has the provider, or the customer, agreed to the present terms?
    pub sp_accepted: bool,
    /// While new: the offer that waits for an answer.
    pub offer: Option<OpenOffer>,
    /// The agreed price, or the budget, or 0.
    pub price: Cents,
    /// The appointment.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// Until when the provider should answer.
    pub response_deadline: DateTime<Utc>,
    /// Has the platform acted upon this deadline?
    pub deadline_missed: bool,
    /// When the work was done.
    pub completed_at: Option<DateTime<Utc>>,
}

/// What has to hold besides the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    None,
    Accepted,
    NotAccepted,
    /// The other party's offer is open.
    OffersAnswer,
    /// Nobody has answered in time, and nothing was done about it.
    DeadlineMissed,
}

/// A row of the state machine.
#[derive(Debug)]
pub struct Rule {
    action: Action,
    by: &'static [Actor],
    from: &'static [JobStatus],
    guard: Guard,
}

const fn rule(action: Action, by: &'static [Actor], from: &'static [JobStatus], guard: Guard) -> Rule {
    Rule { action, by, from, guard }
}

/// The state machine.
#[rustfmt::skip]
pub const RULES: &[Rule] = {
    use JobStatus::{Completed, InProgress, New, Paid, RejectedBySp};
    const EITHER: &[Actor] = &[CUSTOMER, PROVIDER];
    &[
        rule(Action::Accept,       &[PROVIDER],        &[New],               Guard::NotAccepted),
        rule(Action::Reject,       &[PROVIDER],        &[New],               Guard::None),
        rule(Action::SendOffer,    EITHER,             &[New],               Guard::None),
        rule(Action::AcceptOffer,  EITHER,             &[New],               Guard::OffersAnswer),
        rule(Action::DeclineOffer, EITHER,             &[New],               Guard::OffersAnswer),
        rule(Action::CounterOffer, EITHER,             &[New],               Guard::OffersAnswer),
        rule(Action::CloseDeal,    &[CUSTOMER],        &[New],               Guard::Accepted),
        rule(Action::Cancel,       &[CUSTOMER],        &[New, InProgress],   Guard::None),
        rule(Action::Reassign,     &[CUSTOMER],        &[New, RejectedBySp], Guard::None),
        rule(Action::Resend,       &[CUSTOMER],        &[New],               Guard::NotAccepted),
        rule(Action::MarkComplete, &[PROVIDER],        &[InProgress],        Guard::None),
        rule(Action::MarkPayment,  &[PROVIDER],        &[Completed],         Guard::None),
        rule(Action::Review,       &[CUSTOMER],        &[Paid],              Guard::None),
        rule(Action::Dispute,      &[CUSTOMER],        &[Completed, Paid],   Guard::None),
        rule(Action::MissDeadline, &[Actor::Platform], &[New],               Guard::DeadlineMissed),
    ]
};

/// What an action does to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The job afterwards.
    pub state: State,
    /// What became of the offer that was open.
    pub offer: Option<OfferStatus>,
    /// What the customer owes for a late cancellation.
    pub fee: Cents,
}

impl State {
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

    /// May `actor` do this now?
    #[must_use]
    pub fn allows(&self, actor: Actor, action: Action, now: DateTime<Utc>) -> bool {
        RULES.iter().any(|rule| {
            rule.action == action
                && rule.by.contains(&actor)
                && rule.from.contains(&self.status)
                && self.meets(rule.guard, actor, now)
        })
    }

    /// Has the provider let the deadline pass?
    #[must_use]
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.status == JobStatus::New && !self.sp_accepted && self.offer.is_none() && self.response_deadline < now
    }

    /// Checks that `actor` may do this now.
    ///
    /// # Errors
    /// 409 that says how the job stands, and what the actor may do instead.
    pub fn check(&self, actor: Actor, action: Action, now: DateTime<Utc>) -> Result<(), Error> {
        if self.allows(actor, action, now) {
            return Ok(());
        }
        let mut possible: Vec<_> = RULES.iter().map(|rule| rule.action).collect();
        possible.retain(|action| self.allows(actor, *action, now));
        let possible: Vec<_> = possible.into_iter().map(Action::as_str).collect();
        let possible = if possible.is_empty() { "nothing".to_owned() } else { possible.join(", ") };
        Err(Error::Conflict(
            "wrong_state",
            format!("{} is not possible: the job is {self}. Possible for you now: {possible}", action.as_str()),
        ))
    }

    /// What becomes of the job if `actor` does this now. `terms` are those of the offer that is made.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn apply(
        &self,
        actor: Actor,
        action: Action,
        terms: Terms,
        now: DateTime<Utc>,
        settings: Settings,
    ) -> Result<Outcome, Error> {
        self.check(actor, action, now)?;
        let mut outcome = Outcome { state: *self, offer: None, fee: Cents(0) };
        match action {
            Action::Accept if self.offer_is_for(actor) => outcome.accept_offer(),
            Action::Accept => {
                outcome.close_offer(OfferStatus::Withdrawn);
                outcome.state.sp_accepted = true;
            }
            Action::AcceptOffer => outcome.accept_offer(),
            Action::DeclineOffer => {
                outcome.close_offer(OfferStatus::Declined);
                // Whoever was waiting for an answer could not be late meanwhile.
                outcome.state.renew_deadline(now, settings);
            }
            Action::SendOffer | Action::CounterOffer => {
                let was_for_actor = self.offer_is_for(actor);
                outcome.close_offer(if was_for_actor { OfferStatus::Countered } else { OfferStatus::Withdrawn });
                if let Actor::Party(by) = actor {
                    outcome.state.offer = Some(OpenOffer { by, terms });
                }
            }
            Action::CloseDeal => outcome.end(JobStatus::InProgress),
            Action::Reject => outcome.end(JobStatus::RejectedBySp),
            Action::Cancel => {
                outcome.end(JobStatus::Cancelled);
                outcome.fee = self.cancellation_fee(now, settings);
            }
            Action::Resend => outcome.state.renew_deadline(now, settings),
            Action::MarkComplete => {
                outcome.state.status = JobStatus::Completed;
                outcome.state.completed_at = Some(now);
            }
            Action::MarkPayment => outcome.state.status = JobStatus::Paid,
            Action::MissDeadline => outcome.state.deadline_missed = true,
            Action::Reassign => {
                outcome.close_offer(OfferStatus::Withdrawn);
                let price = terms.price.unwrap_or(Cents(0));
                outcome.state = Self::new(price, terms.scheduled_at.or(self.scheduled_at), now, settings);
            }
            Action::Book | Action::Review | Action::Dispute | Action::ResolveDispute => {}
        }
        Ok(outcome)
    }

    /// What it would cost to cancel at `now`: nothing without an appointment, or early enough before it.
    #[must_use]
    pub fn cancellation_fee(&self, now: DateTime<Utc>, settings: Settings) -> Cents {
        match self.scheduled_at {
            Some(appointment) if appointment - now < FREE_CANCELLATION => {
                // Half a cent is rounded up.
                Cents((self.price.0 * i64::from(settings.cancellation_fee_percentage) + 50) / 100)
            }
            _ => Cents(0),
        }
    }

    fn meets(&self, guard: Guard, actor: Actor, now: DateTime<Utc>) -> bool {
        match guard {
            Guard::None => true,
            Guard::Accepted => self.sp_accepted,
            Guard::NotAccepted => !self.sp_accepted,
            Guard::OffersAnswer => self.offer_is_for(actor),
            Guard::DeadlineMissed => self.is_expired(now) && !self.deadline_missed,
        }
    }

    /// Is there an offer that `actor` may answer?
    fn offer_is_for(&self, actor: Actor) -> bool {
        self.offer.is_some_and(|offer| Actor::Party(offer.by) != actor)
    }

    fn renew_deadline(&mut self, now: DateTime<Utc>, settings: Settings) {
        self.response_deadline = settings.deadline(now);
        self.deadline_missed = false;
    }
}

impl Outcome {
    fn close_offer(&mut self, status: OfferStatus) {
        if self.state.offer.take().is_some() {
            self.offer = Some(status);
        }
    }

    fn accept_offer(&mut self) {
        if let Some(OpenOffer { terms, .. }) = self.state.offer {
            self.state.price = terms.price.unwrap_or(self.state.price);
            self.state.scheduled_at = terms.scheduled_at.or(self.state.scheduled_at);
        }
        self.close_offer(OfferStatus::Accepted);
        self.state.sp_accepted = true;
    }

    /// The job is not new any more: nothing waits for an answer.
    fn end(&mut self, status: JobStatus) {
        self.close_offer(OfferStatus::Withdrawn);
        self.state.status = status;
    }
}

impl Settings {
    /// Until when a provider who is asked at `now` should answer.
    #[must_use]
    pub fn deadline(self, now: DateTime<Utc>) -> DateTime<Utc> {
        now + Duration::minutes(self.response_deadline_minutes.into())
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.status.as_str())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings =
        Settings { response_deadline_minutes: 60, cancellation_fee_percentage: 25, warning_threshold: 3 };

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn new() -> State {
        State::new(Cents(10_000), None, now(), SETTINGS)
    }

    fn offered(by: Party) -> State {
        State {
            offer: Some(OpenOffer { by, terms: Terms { price: Some(Cents(12_000)), scheduled_at: None } }),
            ..new()
        }
    }

    fn apply(state: State, actor: Actor, action: Action) -> Result<Outcome, Error> {
        state.apply(actor, action, Terms::default(), now(), SETTINGS)
    }

    /// Every state × actor × action: what is allowed is exactly what this list says.
    #[test]
    fn the_whole_table() {
        use Action::*;
        use JobStatus::*;
        let accepted = State { sp_accepted: true, ..new() };
        let in_status = |status| State { status, ..accepted };
        let missed = State { response_deadline: now() - Duration::seconds(1), ..new() };
        let anew = [SendOffer, Cancel, Reassign];
        for (state, customer, provider, platform) in [
            (new(), [&anew[..], &[Resend]].concat(), vec![Accept, Reject, SendOffer], vec![]),
            (missed, [&anew[..], &[Resend]].concat(), vec![Accept, Reject, SendOffer], vec![MissDeadline]),
            (
                State { deadline_missed: true, ..missed },
                [&anew[..], &[Resend]].concat(),
                vec![Accept, Reject, SendOffer],
                vec![],
            ),
            (
                offered(Party::Customer),
                [&anew[..], &[Resend]].concat(),
                vec![Accept, Reject, SendOffer, AcceptOffer, DeclineOffer, CounterOffer],
                vec![],
            ),
            (
                offered(Party::ServiceProvider),
                [&anew[..], &[AcceptOffer, DeclineOffer, CounterOffer, Resend]].concat(),
                vec![Accept, Reject, SendOffer],
                vec![],
            ),
            (accepted, [&anew[..], &[CloseDeal]].concat(), vec![Reject, SendOffer], vec![]),
            (in_status(InProgress), vec![Cancel], vec![MarkComplete], vec![]),
            (in_status(Completed), vec![Dispute], vec![MarkPayment], vec![]),
            (in_status(Paid), vec![Review, Dispute], vec![], vec![]),
            (in_status(Cancelled), vec![], vec![], vec![]),
            (in_status(RejectedBySp), vec![Reassign], vec![], vec![]),
        ] {
            for (actor, expected) in [(CUSTOMER, &customer), (PROVIDER, &provider), (Actor::Platform, &platform)] {
                for action in [
                    Book,
                    Accept,
                    Reject,
                    SendOffer,
                    AcceptOffer,
                    DeclineOffer,
                    CounterOffer,
                    CloseDeal,
                    Cancel,
                    Reassign,
                    Resend,
                    MarkComplete,
                    MarkPayment,
                    MissDeadline,
                    Review,
                    Dispute,
                    ResolveDispute,
                ] {
                    assert_eq!(
                        state.allows(actor, action, now()),
                        expected.contains(&action),
                        "{state}: {actor:?} {action:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_refusal_says_how_the_job_stands_and_what_is_possible() {
        let refused = apply(new(), CUSTOMER, Action::CloseDeal).unwrap_err();
        let (code, message) = refused.code_and_message();
        assert_eq!(code, "wrong_state");
        assert_eq!(
            message,
            "close_deal is not possible: the job is new (not accepted). Possible for you now: send_offer, cancel, reassign, resend"
        );
    }

    #[test]
    fn offers_change_the_terms_only_when_they_are_accepted() {
        let offered = offered(Party::ServiceProvider);
        let accepted = apply(offered, CUSTOMER, Action::AcceptOffer).unwrap();
        assert_eq!((accepted.state.price, accepted.state.sp_accepted), (Cents(12_000), true));
        assert_eq!((accepted.offer, accepted.state.offer), (Some(OfferStatus::Accepted), None));
        let declined = apply(offered, CUSTOMER, Action::DeclineOffer).unwrap();
        assert_eq!((declined.state.price, declined.state.sp_accepted), (Cents(10_000), false));
        assert_eq!(declined.offer, Some(OfferStatus::Declined));
        let countered = apply(offered, CUSTOMER, Action::CounterOffer).unwrap();
        assert_eq!(countered.offer, Some(OfferStatus::Countered));
        assert_eq!(countered.state.offer.map(|offer| offer.by), Some(Party::Customer));
        // Again: the same party replaces its own.
        let again = apply(countered.state, CUSTOMER, Action::SendOffer).unwrap();
        assert_eq!(again.offer, Some(OfferStatus::Withdrawn));
    }

    #[test]
    fn accepting_the_job_takes_the_customers_offer_but_not_ones_own() {
        let taken = apply(super::tests::offered(Party::Customer), PROVIDER, Action::Accept).unwrap();
        assert_eq!((taken.offer, taken.state.price), (Some(OfferStatus::Accepted), Cents(12_000)));
        let own = apply(super::tests::offered(Party::ServiceProvider), PROVIDER, Action::Accept).unwrap();
        assert_eq!((own.offer, own.state.price), (Some(OfferStatus::Withdrawn), Cents(10_000)));
    }

    #[test]
    fn whatever_ends_the_negotiation_withdraws_the_open_offer() {
        for (state, actor, action) in [
            (State { sp_accepted: true, ..offered(Party::Customer) }, CUSTOMER, Action::CloseDeal),
            (offered(Party::Customer), CUSTOMER, Action::Cancel),
            (offered(Party::Customer), PROVIDER, Action::Reject),
            (offered(Party::Customer), CUSTOMER, Action::Reassign),
        ] {
            let outcome = apply(state, actor, action).unwrap();
            assert_eq!((outcome.offer, outcome.state.offer), (Some(OfferStatus::Withdrawn), None), "{action:?}");
        }
    }

    #[test]
    fn a_cancellation_is_free_until_exactly_96_hours_before() {
        for (seconds, fee) in [(96 * 3600, 0), (96 * 3600 - 1, 2500), (96 * 3600 + 1, 0), (0, 2500), (-3600, 2500)] {
            for status in [JobStatus::New, JobStatus::InProgress] {
                let state = State { status, scheduled_at: Some(now() + Duration::seconds(seconds)), ..new() };
                assert_eq!(apply(state, CUSTOMER, Action::Cancel).unwrap().fee, Cents(fee), "{seconds} s before");
            }
        }
        assert_eq!(apply(new(), CUSTOMER, Action::Cancel).unwrap().fee, Cents(0), "no appointment");
    }

    #[test]
    fn fees_are_whole_cents() {
        let soon = |price| State { price: Cents(price), scheduled_at: Some(now()), ..new() };
        for (price, percentage, fee) in
            [(0, 25, 0), (1, 25, 0), (2, 25, 1), (10_050, 25, 2513), (999, 0, 0), (999, 100, 999)]
        {
            let settings = Settings { cancellation_fee_percentage: percentage, ..SETTINGS };
            assert_eq!(soon(price).cancellation_fee(now(), settings), Cents(fee), "{percentage} % of {price}");
        }
    }

    #[test]
    fn deadlines_pass_after_their_moment_and_are_renewed() {
        let state = new();
        assert!(!state.is_expired(now() + Duration::minutes(60)));
        let late = now() + Duration::minutes(60) + Duration::milliseconds(1);
        assert!(state.is_expired(late));
        let missed =
            state.apply(Actor::Platform, Action::MissDeadline, Terms::default(), late, SETTINGS).unwrap().state;
        assert!(missed.deadline_missed && !missed.allows(Actor::Platform, Action::MissDeadline, late));
        let resent = missed.apply(CUSTOMER, Action::Resend, Terms::default(), late, SETTINGS).unwrap().state;
        assert_eq!((resent.response_deadline, resent.deadline_missed), (late + Duration::minutes(60), false));
    }

    #[test]
    fn another_provider_begins_anew() {
        let state = State { status: JobStatus::RejectedBySp, sp_accepted: true, deadline_missed: true, ..new() };
        let terms = Terms { price: Some(Cents(5000)), scheduled_at: None };
        let outcome = state.apply(CUSTOMER, Action::Reassign, terms, now(), SETTINGS).unwrap();
        assert_eq!(outcome.state, State::new(Cents(5000), None, now(), SETTINGS));
    }
}
