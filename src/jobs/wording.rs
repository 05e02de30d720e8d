//! What a change of a job tells, and to whom: notifications, and lines in the job's chat. No I/O.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::booking::{cut, write_answers};
use super::queries::PartiesRow;
use super::types::{Action, Outcome, State};
use crate::negotiation::Proposal;
use crate::notifications::{NewNotification, NotificationType};
use crate::types::{Cents, JobId, UserId};

/// A change, after it was stored.
#[derive(Debug)]
pub struct Told<'a> {
    /// Which job.
    pub job: JobId,
    /// What was done.
    pub action: Action,
    /// By whom; `None` is the platform.
    pub by: Option<UserId>,
    /// Whom it concerns.
    pub parties: &'a PartiesRow,
    /// As it was.
    pub before: &'a State,
    /// What became of it.
    pub outcome: &'a Outcome,
    /// Why.
    pub reason: Option<&'a str>,
    /// The offer that was made.
    pub proposal: Option<&'a Proposal>,
}

impl Told<'_> {
    /// Who is notified, of what. Nobody is told of what they did themselves, but of money.
    #[must_use]
    pub fn notifications(&self) -> Vec<NewNotification> {
        let PartiesRow { customer_user_id: customer, provider_user_id: provider, .. } = *self.parties;
        let (service, customer_name, business) =
            (&self.parties.service_name, &self.parties.customer_name, &self.parties.business_name);
        let other = if self.by == Some(customer) { provider } else { customer };
        let actor = if self.by == Some(customer) { customer_name } else { business };
        let because = self.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let job = NotificationType::Job;
        match self.action {
            Action::Accept => vec![self.tell(customer, job, "Job accepted", format!("{business} has accepted your request for {service}"))],
            Action::Reject => vec![self.tell(customer, job, "Job declined", format!("{business} has declined your request for {service}{because}"))],
            Action::SendOffer => {
                vec![self.tell(other, job, "New offer", format!("{actor} has made an offer for {service}: {}", self.proposed()))]
            }
            Action::CounterOffer => {
                vec![self.tell(other, job, "Counter-offer", format!("{actor} has made a counter-offer for {service}: {}", self.proposed()))]
            }
            Action::AcceptOffer => vec![self.tell(other, job, "Offer accepted", format!("{actor} has accepted your offer for {service}"))],
            Action::DeclineOffer => vec![self.tell(other, job, "Offer declined", format!("{actor} has declined your offer for {service}"))],
            Action::CloseDeal => vec![self.tell(provider, job, "Deal closed", format!("{customer_name} has closed the deal for {service}: you may begin"))],
            Action::Cancel => vec![self.tell(provider, job, "Job cancelled", format!("{customer_name} has cancelled {service}{because}"))],
            Action::Resend => vec![self.tell(provider, job, "Job request sent again", format!("{customer_name} asks again for {service}"))],
            Action::MarkComplete => vec![self.tell(customer, job, "Job completed", format!("{business} has completed {service}"))],
            Action::MarkPayment => {
                let amount = dollars(self.outcome.state.price);
                vec![
                    self.tell(customer, NotificationType::Payment, "Payment received", format!("{business} has received {amount} for {service}")),
                    self.tell(provider, NotificationType::Payment, "Payment received", format!("{amount} from {customer_name} for {service} is marked as received")),
                ]
            }
            Action::MissDeadline => vec![
                self.tell(customer, job, "No answer yet", format!("{business} has not answered your request for {service} in time: send it again, or ask another provider")),
                self.tell(provider, job, "Response deadline missed", format!("You have not answered {customer_name}'s request for {service} in time: this is a warning")),
            ],
            Action::Book | Action::Reassign | Action::Review | Action::Dispute | Action::ResolveDispute => Vec::new(),
        }
    }

    /// That the provider has been warned too often, for its LSM.
    #[must_use]
    pub fn too_many_warnings(&self, warnings: i32) -> NewNotification {
        let message = format!("{} has missed {warnings} response deadlines", self.parties.business_name);
        self.tell(self.parties.lsm_user_id, NotificationType::System, "Provider warned repeatedly", message)
    }

    /// What the actor says in the chat.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        self.words().map(cut)
    }

    fn words(&self) -> Option<String> {
        let service = &self.parties.service_name;
        match self.action {
            Action::Accept => Some(format!("I have accepted your request for {service}.")),
            Action::SendOffer => Some(format!("New offer: {}", self.proposed())),
            Action::CounterOffer => Some(format!("Counter-offer: {}", self.proposed())),
            Action::AcceptOffer => {
                let terms = self.before.offer.map(|offer| offer.terms).unwrap_or_default();
                Some(format!("I accept the offer{}", of_terms(": ", terms.price, terms.scheduled_at)))
            }
            Action::DeclineOffer => Some("I decline the offer.".to_owned()),
            _ => None,
        }
    }

    fn proposed(&self) -> String {
        let Some(proposal) = self.proposal else { return String::new() };
        let mut text = of_terms("", proposal.terms.price, proposal.terms.scheduled_at);
        if let Some(answers) = &proposal.answers {
            write_answers(&mut text, answers);
        }
        if let Some(notes) = &proposal.notes {
            let _infallible = write!(text, "\n{notes}");
        }
        cut(text.trim_start().to_owned())
    }

    fn tell(
        &self,
        recipient_id: UserId,
        kind: NotificationType,
        title: &'static str,
        message: String,
    ) -> NewNotification {
        let metadata = json!({"jobId": self.job, "chatId": self.parties.chat_id});
        NewNotification { recipient_id, kind, title: title.into(), message, metadata }
    }
}

/// The price and the date, as far as there are any.
fn of_terms(prefix: &str, price: Option<Cents>, scheduled_at: Option<DateTime<Utc>>) -> String {
    let price = price.map(dollars);
    let date = scheduled_at.map(|date| date.format("%Y-%m-%d %H:%M UTC").to_string());
    match (price, date) {
        (Some(price), Some(date)) => format!("{prefix}{price}, {date}"),
        (Some(one), None) | (None, Some(one)) => format!("{prefix}{one}"),
        (None, None) => String::new(),
    }
}

/// An amount for people.
#[must_use]
pub fn dollars(Cents(cents): Cents) -> String {
    format!("${}.{:02}", cents / 100, cents % 100)
}
