//! The rules by which a job changes: no I/O, and `now` is an argument.
//!
//! [`RULES`] is the whole state machine: who may do what in which state. [`JobState::apply`] returns the new state.

use chrono::{DateTime, Duration, Utc};

use super::types::{Action, Actor, CUSTOMER, Command, JobState, OpenOffer, PROVIDER, Settings, StateChange};
use crate::error::Error;
use crate::types::{Cents, JobStatus, OfferStatus};

/// A cancellation costs a fee if less than this time remains until the appointment.
const FREE_CANCELLATION: Duration = Duration::hours(96);

/// A condition besides the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    None,
    Accepted,
    NotAccepted,
    /// The other party's offer is open.
    OffersAnswer,
    /// The deadline has passed, and the platform has not acted upon it.
    DeadlineMissed,
}

/// A row of the state machine.
#[derive(Debug)]
pub(super) struct Rule {
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
pub(super) const RULES: &[Rule] = {
    use JobStatus::{Completed, InProgress, New, Paid, RejectedBySp};
    const EITHER: &[Actor] = &[CUSTOMER, PROVIDER];
    /// The provider was paid directly, or the platform online.
    const EARNER: &[Actor] = &[PROVIDER, Actor::Platform];
    const CUSTOMER_OR_PLATFORM: &[Actor] = &[CUSTOMER, Actor::Platform];
    &[
        rule(Action::Accept,       &[PROVIDER],        &[New],               Guard::NotAccepted),
        rule(Action::Reject,       &[PROVIDER],        &[New],               Guard::None),
        rule(Action::SendOffer,    EITHER,             &[New],               Guard::None),
        rule(Action::AcceptOffer,  EITHER,             &[New],               Guard::OffersAnswer),
        rule(Action::DeclineOffer, EITHER,             &[New],               Guard::OffersAnswer),
        rule(Action::CounterOffer, EITHER,             &[New],               Guard::OffersAnswer),
        rule(Action::CloseDeal,    &[CUSTOMER],        &[New],               Guard::Accepted),
        rule(Action::Cancel,       CUSTOMER_OR_PLATFORM, &[New, InProgress], Guard::None),
        rule(Action::Reassign,     &[CUSTOMER],        &[New, RejectedBySp], Guard::None),
        rule(Action::Resend,       &[CUSTOMER],        &[New],               Guard::NotAccepted),
        rule(Action::MarkComplete, &[PROVIDER],        &[InProgress],        Guard::None),
        rule(Action::SendInvoice,  &[PROVIDER],        &[Completed],         Guard::None),
        rule(Action::MarkPayment,  EARNER,             &[Completed],         Guard::None),
        rule(Action::FailPayment,  &[Actor::Platform], &[Completed],         Guard::None),
        rule(Action::VoidInvoice,  &[Actor::Platform], &[Completed, Paid],   Guard::None),
        rule(Action::Refund,       &[Actor::Platform], &[Paid],              Guard::None),
        rule(Action::Review,       &[CUSTOMER],        &[Paid],              Guard::None),
        rule(Action::Dispute,      &[CUSTOMER],        &[Completed, Paid],   Guard::None),
        rule(Action::MissDeadline, &[Actor::Platform], &[New],               Guard::DeadlineMissed),
    ]
};

impl JobState {
    /// Whether `actor` may do this now.
    #[must_use]
    pub fn allows(&self, actor: Actor, action: Action, now: DateTime<Utc>) -> bool {
        RULES.iter().any(|rule| {
            rule.action == action
                && rule.by.contains(&actor)
                && rule.from.contains(&self.status)
                && self.meets(rule.guard, actor, now)
        })
    }

    /// Whether the provider has missed the deadline.
    #[must_use]
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.status == JobStatus::New && !self.sp_accepted && self.offer.is_none() && self.response_deadline < now
    }

    /// Applies a command of `actor`.
    ///
    /// # Errors
    /// 409 with the job's state, and what the actor may do instead.
    pub fn apply(
        &self,
        actor: Actor,
        command: &Command,
        now: DateTime<Utc>,
        settings: Settings,
    ) -> Result<StateChange, Error> {
        self.check(actor, command.action(), now)?;
        let mut change = StateChange { state: *self, offer: None, fee: Cents(0) };
        match command {
            Command::Accept { .. } if self.offer_is_for(actor) => change.accept_offer(),
            Command::Accept { .. } => {
                change.close_offer(OfferStatus::Withdrawn);
                change.state.sp_accepted = true;
            }
            Command::AcceptOffer { .. } => change.accept_offer(),
            Command::DeclineOffer { .. } => {
                change.close_offer(OfferStatus::Declined);
                // The deadline does not pass while an offer is open, so it starts again.
                change.state.renew_deadline(now, settings);
            }
            Command::SendOffer { proposal } | Command::CounterOffer { proposal, .. } => {
                let was_for_actor = self.offer_is_for(actor);
                change.close_offer(if was_for_actor { OfferStatus::Countered } else { OfferStatus::Withdrawn });
                if let Actor::Party(by) = actor {
                    change.state.offer = Some(OpenOffer { by, terms: proposal.terms });
                }
            }
            Command::CloseDeal => change.end_negotiation(JobStatus::InProgress),
            Command::Reject { .. } => change.end_negotiation(JobStatus::RejectedBySp),
            Command::Cancel { .. } => {
                change.end_negotiation(JobStatus::Cancelled);
                // The customer did not choose to cancel when the platform does.
                change.fee = if actor == CUSTOMER { self.cancellation_fee(now, settings) } else { Cents(0) };
            }
            Command::Resend => change.state.renew_deadline(now, settings),
            Command::MarkComplete => {
                change.state.status = JobStatus::Completed;
                change.state.completed_at = Some(now);
            }
            Command::MarkPayment { .. } => change.state.status = JobStatus::Paid,
            Command::MissDeadline => change.state.deadline_missed = true,
            Command::Reassign { price, scheduled_at } => {
                change.close_offer(OfferStatus::Withdrawn);
                let scheduled_at = scheduled_at.or(self.scheduled_at);
                change.state = Self::new(price.unwrap_or(Cents(0)), scheduled_at, now, settings);
            }
            Command::SendInvoice
            | Command::FailPayment
            | Command::VoidInvoice
            | Command::Refund { .. }
            | Command::Review
            | Command::Dispute => {}
        }
        Ok(change)
    }

    /// The fee of a cancellation at `now`: 0 without an appointment, or early enough before it.
    #[must_use]
    pub fn cancellation_fee(&self, now: DateTime<Utc>, settings: Settings) -> Cents {
        match self.scheduled_at {
            Some(appointment) if appointment - now < FREE_CANCELLATION => {
                // Half a cent is rounded up.
                Cents((self.price.0 * i64::from(settings.cancellation_fee_percentage) + 50) / 100)
            }
            Some(_) | None => Cents(0),
        }
    }

    fn check(&self, actor: Actor, action: Action, now: DateTime<Utc>) -> Result<(), Error> {
        if self.allows(actor, action, now) {
            return Ok(());
        }
        let actions = RULES.iter().map(|rule| rule.action);
        let possible: Vec<_> =
            actions.filter(|action| self.allows(actor, *action, now)).map(Action::in_words).collect();
        let possible = if possible.is_empty() { "nothing".to_owned() } else { possible.join(", ") };
        Err(Error::Conflict(
            "wrong_state",
            format!("you cannot {}: the job is {self}. Possible for you now: {possible}", action.in_words()),
        ))
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

    /// Whether there is an offer that `actor` may answer.
    fn offer_is_for(&self, actor: Actor) -> bool {
        self.offer.is_some_and(|offer| Actor::Party(offer.by) != actor)
    }

    fn renew_deadline(&mut self, now: DateTime<Utc>, settings: Settings) {
        self.response_deadline = settings.deadline(now);
        self.deadline_missed = false;
    }
}

impl StateChange {
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

    /// Leaves the status `new`: an open offer is withdrawn.
    fn end_negotiation(&mut self, status: JobStatus) {
        self.close_offer(OfferStatus::Withdrawn);
        self.state.status = status;
    }
}

#[cfg(test)]
mod tests {
    use super::super::offers::Proposal;
    use super::super::types::Terms;
    use super::*;
    use crate::types::Party;

    const SETTINGS: Settings =
        Settings { response_deadline_minutes: 60, cancellation_fee_percentage: 25, warning_threshold: 3 };

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn new() -> JobState {
        JobState::new(Cents(10_000), None, now(), SETTINGS)
    }

    fn offered(by: Party) -> JobState {
        JobState {
            offer: Some(OpenOffer { by, terms: Terms { price: Some(Cents(12_000)), scheduled_at: None } }),
            ..new()
        }
    }

    fn apply(state: JobState, actor: Actor, command: &Command) -> Result<StateChange, Error> {
        state.apply(actor, command, now(), SETTINGS)
    }

    /// Every state × actor × action: what is allowed is exactly what this list says.
    #[test]
    fn the_whole_table() {
        use Action::*;
        use JobStatus::*;
        let accepted = JobState { sp_accepted: true, ..new() };
        let in_status = |status| JobState { status, ..accepted };
        let missed = JobState { response_deadline: now() - Duration::seconds(1), ..new() };
        let anew = [SendOffer, Cancel, Reassign];
        for (state, customer, provider, platform) in [
            (new(), [&anew[..], &[Resend]].concat(), vec![Accept, Reject, SendOffer], vec![Cancel]),
            (missed, [&anew[..], &[Resend]].concat(), vec![Accept, Reject, SendOffer], vec![Cancel, MissDeadline]),
            (
                JobState { deadline_missed: true, ..missed },
                [&anew[..], &[Resend]].concat(),
                vec![Accept, Reject, SendOffer],
                vec![Cancel],
            ),
            (
                offered(Party::Customer),
                [&anew[..], &[Resend]].concat(),
                vec![Accept, Reject, SendOffer, AcceptOffer, DeclineOffer, CounterOffer],
                vec![Cancel],
            ),
            (
                offered(Party::ServiceProvider),
                [&anew[..], &[AcceptOffer, DeclineOffer, CounterOffer, Resend]].concat(),
                vec![Accept, Reject, SendOffer],
                vec![Cancel],
            ),
            (accepted, [&anew[..], &[CloseDeal]].concat(), vec![Reject, SendOffer], vec![Cancel]),
            (in_status(InProgress), vec![Cancel], vec![MarkComplete], vec![Cancel]),
            (
                in_status(Completed),
                vec![Dispute],
                vec![SendInvoice, MarkPayment],
                vec![MarkPayment, FailPayment, VoidInvoice],
            ),
            (in_status(Paid), vec![Review, Dispute], vec![], vec![VoidInvoice, Refund]),
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
                    SendInvoice,
                    MarkPayment,
                    FailPayment,
                    VoidInvoice,
                    Refund,
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
    fn a_refusal_names_the_state_and_what_is_possible() {
        let refused = apply(new(), CUSTOMER, &Command::CloseDeal).unwrap_err();
        let (code, message) = refused.code_and_message();
        assert_eq!(code, "wrong_state");
        assert_eq!(
            message,
            "you cannot close the deal: the job is new (not accepted). Possible for you now: make an offer, cancel it, \
             give it to another provider, send it again"
        );
    }

    #[test]
    fn offers_change_the_terms_only_when_they_are_accepted() {
        let offered = offered(Party::ServiceProvider);
        let accepted = apply(offered, CUSTOMER, &Command::AcceptOffer { offer: None }).unwrap();
        assert_eq!((accepted.state.price, accepted.state.sp_accepted), (Cents(12_000), true));
        assert_eq!((accepted.offer, accepted.state.offer), (Some(OfferStatus::Accepted), None));
        let declined = apply(offered, CUSTOMER, &Command::DeclineOffer { offer: None }).unwrap();
        assert_eq!((declined.state.price, declined.state.sp_accepted), (Cents(10_000), false));
        assert_eq!(declined.offer, Some(OfferStatus::Declined));
        let countered =
            apply(offered, CUSTOMER, &Command::CounterOffer { offer: None, proposal: Proposal::default() }).unwrap();
        assert_eq!(countered.offer, Some(OfferStatus::Countered));
        assert_eq!(countered.state.offer.map(|offer| offer.by), Some(Party::Customer));
        // Again: the same party replaces its own.
        let again = apply(countered.state, CUSTOMER, &Command::SendOffer { proposal: Proposal::default() }).unwrap();
        assert_eq!(again.offer, Some(OfferStatus::Withdrawn));
    }

    #[test]
    fn accepting_the_job_takes_the_customers_offer_but_not_ones_own() {
        let taken = apply(offered(Party::Customer), PROVIDER, &Command::Accept { offer: None }).unwrap();
        assert_eq!((taken.offer, taken.state.price), (Some(OfferStatus::Accepted), Cents(12_000)));
        let own = apply(offered(Party::ServiceProvider), PROVIDER, &Command::Accept { offer: None }).unwrap();
        assert_eq!((own.offer, own.state.price), (Some(OfferStatus::Withdrawn), Cents(10_000)));
    }

    #[test]
    fn whatever_ends_the_negotiation_withdraws_the_open_offer() {
        for (state, actor, command) in [
            (JobState { sp_accepted: true, ..offered(Party::Customer) }, CUSTOMER, Command::CloseDeal),
            (offered(Party::Customer), CUSTOMER, Command::Cancel { reason: None }),
            (offered(Party::Customer), PROVIDER, Command::Reject { reason: None }),
            (offered(Party::Customer), CUSTOMER, Command::Reassign { price: None, scheduled_at: None }),
        ] {
            let change = apply(state, actor, &command).unwrap();
            assert_eq!((change.offer, change.state.offer), (Some(OfferStatus::Withdrawn), None), "{command:?}");
        }
    }

    #[test]
    fn a_cancellation_is_free_until_exactly_96_hours_before() {
        for (seconds, fee) in [(96 * 3600, 0), (96 * 3600 - 1, 2500), (96 * 3600 + 1, 0), (0, 2500), (-3600, 2500)] {
            for status in [JobStatus::New, JobStatus::InProgress] {
                let state = JobState { status, scheduled_at: Some(now() + Duration::seconds(seconds)), ..new() };
                assert_eq!(
                    apply(state, CUSTOMER, &Command::Cancel { reason: None }).unwrap().fee,
                    Cents(fee),
                    "{seconds} s before"
                );
            }
        }
        assert_eq!(apply(new(), CUSTOMER, &Command::Cancel { reason: None }).unwrap().fee, Cents(0), "no appointment");
    }

    #[test]
    fn fees_are_whole_cents() {
        let soon = |price| JobState { price: Cents(price), scheduled_at: Some(now()), ..new() };
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
        let missed = state.apply(Actor::Platform, &Command::MissDeadline, late, SETTINGS).unwrap().state;
        assert!(missed.deadline_missed && !missed.allows(Actor::Platform, Action::MissDeadline, late));
        let resent = missed.apply(CUSTOMER, &Command::Resend, late, SETTINGS).unwrap().state;
        assert_eq!((resent.response_deadline, resent.deadline_missed), (late + Duration::minutes(60), false));
    }

    #[test]
    fn another_provider_begins_anew() {
        let state = JobState { status: JobStatus::RejectedBySp, sp_accepted: true, deadline_missed: true, ..new() };
        let change =
            apply(state, CUSTOMER, &Command::Reassign { price: Some(Cents(5000)), scheduled_at: None }).unwrap();
        assert_eq!(change.state, JobState::new(Cents(5000), None, now(), SETTINGS));
    }
}
