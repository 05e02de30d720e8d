//! The texts of a transition: notifications, and the actor's message in the job's chat. No I/O.

use std::fmt::Write as _;

use serde_json::json;

use super::booking::{truncate_to_message, write_answers};
use super::offers::Proposal;
use super::queries::Parties;
use super::transition::{Job, Transition};
use super::types::{Command, Terms};
use crate::notifications::{NewNotification, NotificationType};
use crate::types::{Cents, JobStatus, Party, UserId, time};

impl Transition {
    /// The notifications this transition causes. Actors are not notified of their own actions, except payments.
    #[must_use]
    pub fn notifications(&self, job: &Job) -> Vec<NewNotification> {
        let Parties { customer_name, business_name: business, service_name: service, .. } = &job.row.parties;
        let (customer, provider) = (job.row.parties.customer_user_id, job.row.parties.provider_user_id);
        let by_customer = job.party() == Some(Party::Customer);
        let (other, actor) = if by_customer { (provider, customer_name) } else { (customer, business) };
        let because = self.command.reason().map(|reason| format!(": {reason}")).unwrap_or_default();
        let one = |recipient, title, text| vec![job.notification(recipient, NotificationType::Job, title, text)];
        match &self.command {
            Command::Accept { .. } => {
                one(customer, "Job accepted", format!("{business} has accepted your request for {service}"))
            }
            Command::Reject { .. } => {
                one(customer, "Job declined", format!("{business} has declined your request for {service}{because}"))
            }
            Command::SendOffer { proposal } => {
                let offer = in_words(proposal);
                one(other, "New offer", format!("{actor} has made an offer for {service}: {offer}"))
            }
            Command::CounterOffer { proposal, .. } => {
                let offer = in_words(proposal);
                one(other, "Counter-offer", format!("{actor} has made a counter-offer for {service}: {offer}"))
            }
            Command::AcceptOffer { .. } => {
                one(other, "Offer accepted", format!("{actor} has accepted your offer for {service}"))
            }
            Command::DeclineOffer { .. } => {
                one(other, "Offer declined", format!("{actor} has declined your offer for {service}"))
            }
            Command::CloseDeal => {
                let text = format!("{customer_name} has closed the deal for {service}: you may begin");
                one(provider, "Deal closed", text)
            }
            Command::Cancel { .. } if job.party().is_none() => [
                (provider, format!("{service} for {customer_name} was cancelled by STM{because}")),
                (customer, format!("Your request for {service} was cancelled by STM{because}")),
            ]
            .map(|(recipient, text)| job.notification(recipient, NotificationType::Job, "Job cancelled", text))
            .into(),
            Command::Cancel { .. } => {
                one(provider, "Job cancelled", format!("{customer_name} has cancelled {service}{because}"))
            }
            Command::Resend => {
                one(provider, "Job request sent again", format!("{customer_name} asks again for {service}"))
            }
            Command::MarkComplete => one(customer, "Job completed", format!("{business} has completed {service}")),
            Command::MarkPayment { .. } => job.payment_received(self.change.state.price),
            Command::FailPayment => job.payment_failed(self.change.state.price),
            Command::VoidInvoice => job.invoice_voided(self.change.state.status),
            Command::Refund { refunded } => job.payment_refunded(*refunded),
            Command::MissDeadline => job.deadline_missed(),
            // Each notifies with its own ids, once they are known.
            Command::Reassign { .. } | Command::SendInvoice | Command::Review | Command::Dispute => Vec::new(),
        }
    }

    /// The actor's message in the chat, truncated to the longest message.
    #[must_use]
    pub fn chat_message(&self, job: &Job) -> Option<String> {
        let text = match &self.command {
            Command::Accept { .. } => format!("I have accepted your request for {}.", job.row.parties.service_name),
            Command::SendOffer { proposal } => format!("New offer: {}", in_words(proposal)),
            Command::CounterOffer { proposal, .. } => format!("Counter-offer: {}", in_words(proposal)),
            Command::AcceptOffer { .. } => {
                let terms = job.row.state.offer.map(|offer| offer.terms).unwrap_or_default();
                format!("I accept the offer{}", terms_in_words(": ", terms))
            }
            Command::DeclineOffer { .. } => "I decline the offer.".to_owned(),
            Command::Reject { .. }
            | Command::CloseDeal
            | Command::Cancel { .. }
            | Command::Reassign { .. }
            | Command::Resend
            | Command::MarkComplete
            | Command::MarkPayment { .. }
            | Command::SendInvoice
            | Command::FailPayment
            | Command::VoidInvoice
            | Command::Refund { .. }
            | Command::MissDeadline
            | Command::Review
            | Command::Dispute => return None,
        };
        Some(truncate_to_message(text))
    }
}

impl Job {
    /// The notification for the LSM of a provider who has been warned too often.
    #[must_use]
    pub fn too_many_warnings(&self, warnings: i32) -> NewNotification {
        let parties = &self.row.parties;
        let text = format!("{} has missed {warnings} response deadlines", parties.business_name);
        self.notification(parties.lsm_user_id, NotificationType::System, "Provider warned repeatedly", text)
    }

    fn payment_received(&self, price: Cents) -> Vec<NewNotification> {
        let Parties { customer_name, business_name, service_name: service, .. } = &self.row.parties;
        let amount = dollars(price);
        self.payment_notifications(
            "Payment received",
            format!("{business_name} has received {amount} for {service}"),
            format!("{amount} from {customer_name} for {service} is marked as received"),
        )
    }

    fn payment_failed(&self, price: Cents) -> Vec<NewNotification> {
        let Parties { customer_name, service_name: service, .. } = &self.row.parties;
        let amount = dollars(price);
        self.payment_notifications(
            "Payment failed",
            format!("Your payment of {amount} for {service} has failed: open the invoice to try again"),
            format!("The payment of {amount} by {customer_name} for {service} has failed"),
        )
    }

    fn payment_refunded(&self, refunded: Cents) -> Vec<NewNotification> {
        let Parties { customer_name, service_name: service, .. } = &self.row.parties;
        let amount = dollars(refunded);
        self.payment_notifications(
            "Payment refunded",
            format!("{amount} of your payment for {service} was refunded"),
            format!("{amount} of the payment by {customer_name} for {service} was refunded"),
        )
    }

    /// An invoice that is void because the job was paid another way concerns nobody.
    fn invoice_voided(&self, status: JobStatus) -> Vec<NewNotification> {
        if status == JobStatus::Paid {
            return Vec::new();
        }
        let Parties { customer_name, service_name: service, .. } = &self.row.parties;
        self.payment_notifications(
            "Invoice void",
            format!("The invoice for {service} cannot be paid any more: wait for a new one"),
            format!("The invoice to {customer_name} for {service} is void: send it again"),
        )
    }

    /// A notification for the customer, and one for the provider.
    fn payment_notifications(
        &self,
        title: &'static str,
        for_customer: String,
        for_provider: String,
    ) -> Vec<NewNotification> {
        let Parties { customer_user_id, provider_user_id, .. } = self.row.parties;
        let notification = |recipient, text| self.notification(recipient, NotificationType::Payment, title, text);
        vec![notification(customer_user_id, for_customer), notification(provider_user_id, for_provider)]
    }

    fn deadline_missed(&self) -> Vec<NewNotification> {
        let Parties { customer_name, business_name, service_name: service, .. } = &self.row.parties;
        let notification = |recipient, title, text| self.notification(recipient, NotificationType::Job, title, text);
        vec![
            notification(
                self.row.parties.customer_user_id,
                "No answer yet",
                format!(
                    "{business_name} has not answered your request for {service} in time: \
                     send it again, or ask another provider"
                ),
            ),
            notification(
                self.row.parties.provider_user_id,
                "Response deadline missed",
                format!("You have not answered {customer_name}'s request for {service} in time: this is a warning"),
            ),
        ]
    }

    fn notification(
        &self,
        recipient_id: UserId,
        kind: NotificationType,
        title: &'static str,
        message: String,
    ) -> NewNotification {
        let metadata = json!({"jobId": self.row.id, "chatId": self.row.parties.chat_id});
        NewNotification { recipient_id, kind, title: title.into(), message, metadata }
    }
}

/// An offer in words: price and date, changed answers, notes.
fn in_words(proposal: &Proposal) -> String {
    let mut text = terms_in_words("", proposal.terms);
    if let Some(answers) = &proposal.answers {
        write_answers(&mut text, answers, proposal.terms.price.is_some());
    }
    if let Some(notes) = &proposal.notes {
        let _infallible = write!(text, "\n{notes}");
    }
    truncate_to_message(text.trim_start().to_owned())
}

/// The price and the date, as far as there are any, after a prefix.
fn terms_in_words(prefix: &str, terms: Terms) -> String {
    let price = terms.price.map(dollars);
    let date = terms.scheduled_at.map(time::in_words);
    match (price, date) {
        (Some(price), Some(date)) => format!("{prefix}{price}, {date}"),
        (Some(one), None) | (None, Some(one)) => format!("{prefix}{one}"),
        (None, None) => String::new(),
    }
}

/// An amount for people.
pub(crate) fn dollars(Cents(cents): Cents) -> String {
    format!("${}.{:02}", cents / 100, cents % 100)
}
