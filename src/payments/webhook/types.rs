//! Stripe's events, and whether they fit an invoice: no I/O.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::payments::types::InvoiceRow;
use crate::types::{Cents, InvoiceId, JobId};

/// An event, as far as every type has it.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    data: EventData,
}

#[derive(Debug, Deserialize)]
struct EventData {
    object: Value,
}

/// What an event says has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happening {
    Paid,
    PaymentFailed,
    Voided,
    Refunded {
        /// The amount of all refunds so far.
        refunded: Cents,
    },
}

/// An event about an invoice.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvoiceEvent {
    pub happening: Happening,
    pub stripe_invoice_id: String,
    /// The amount that was paid, or was to be paid.
    pub amount: Cents,
    pub currency: String,
    /// The invoice and the job that Stripe was told; a charge has none.
    pub invoice_id: Option<InvoiceId>,
    pub job_id: Option<JobId>,
}

#[derive(Deserialize)]
struct InvoiceObject {
    id: String,
    amount_due: i64,
    amount_paid: i64,
    currency: String,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
struct Metadata {
    stm_invoice: Option<String>,
    stm_job: Option<String>,
}

#[derive(Deserialize)]
struct ChargeObject {
    /// `None`: it pays no invoice.
    invoice: Option<String>,
    amount: i64,
    amount_refunded: i64,
    currency: String,
}

impl Event {
    /// What the event says about an invoice. Returns `None` for types that concern nobody here.
    ///
    /// # Errors
    /// The object is not what its type says.
    pub(super) fn about_invoice(&self) -> serde_json::Result<Option<InvoiceEvent>> {
        Ok(match &*self.kind {
            "invoice.paid" => {
                let invoice: InvoiceObject = self.object()?;
                let amount = Cents(invoice.amount_paid);
                Some(invoice.event(Happening::Paid, amount))
            }
            "invoice.payment_failed" => {
                let invoice: InvoiceObject = self.object()?;
                let amount = Cents(invoice.amount_due);
                Some(invoice.event(Happening::PaymentFailed, amount))
            }
            "invoice.voided" => {
                let invoice: InvoiceObject = self.object()?;
                let amount = Cents(invoice.amount_due);
                Some(invoice.event(Happening::Voided, amount))
            }
            "charge.refunded" => {
                let charge: ChargeObject = self.object()?;
                charge.invoice.map(|stripe_invoice_id| InvoiceEvent {
                    happening: Happening::Refunded { refunded: Cents(charge.amount_refunded) },
                    stripe_invoice_id,
                    amount: Cents(charge.amount),
                    currency: charge.currency,
                    invoice_id: None,
                    job_id: None,
                })
            }
            _ => None,
        })
    }

    fn object<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        T::deserialize(&self.data.object)
    }
}

impl InvoiceObject {
    fn event(self, happening: Happening, amount: Cents) -> InvoiceEvent {
        let number = |text: Option<String>| text.and_then(|text| text.parse().ok());
        InvoiceEvent {
            happening,
            stripe_invoice_id: self.id,
            amount,
            currency: self.currency,
            invoice_id: number(self.metadata.stm_invoice).map(InvoiceId),
            job_id: number(self.metadata.stm_job).map(JobId),
        }
    }
}

/// Whether an event is applied to an invoice.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Apply,
    /// It concerns what has been replaced since, and nothing was paid.
    Ignore,
    /// It contradicts what was sent to Stripe: the reason, as the end of a sentence.
    Refuse(String),
}

impl InvoiceEvent {
    /// Compares the event with the invoice that it is about.
    pub(super) fn judge(&self, invoice: &InvoiceRow) -> Verdict {
        let is_other = invoice.stripe_invoice_id.as_ref() != Some(&self.stripe_invoice_id);
        if is_other && matches!(self.happening, Happening::PaymentFailed | Happening::Voided) {
            return Verdict::Ignore;
        }
        let refuse = |why: &str| Verdict::Refuse(why.to_owned());
        if is_other {
            return Verdict::Refuse(format!("it is about the invoice {} at Stripe", self.stripe_invoice_id));
        }
        if self.job_id.is_some_and(|job| job != invoice.job_id) || self.invoice_id.is_some_and(|id| id != invoice.id) {
            return refuse("it is about another job");
        }
        if self.currency != "usd" {
            return refuse("it is in another currency");
        }
        if self.amount != invoice.amount {
            return Verdict::Refuse(format!("it is about {} cents instead of {}", self.amount.0, invoice.amount.0));
        }
        match self.happening {
            Happening::Refunded { refunded } if !(1..=invoice.amount.0).contains(&refunded.0) => {
                refuse("it refunds an impossible amount")
            }
            Happening::Refunded { .. } | Happening::Paid | Happening::PaymentFailed | Happening::Voided => {
                Verdict::Apply
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::payments::types::InvoiceStatus;

    fn invoice() -> InvoiceRow {
        InvoiceRow {
            id: InvoiceId(7),
            job_id: JobId(70),
            amount: Cents(12_050),
            status: InvoiceStatus::Open,
            stripe_invoice_id: Some("in_1".into()),
            stripe_url: None,
            times_asked: 1,
            refunded: Cents(0),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "shorter tests")]
    fn event(kind: &str, object: Value) -> Option<InvoiceEvent> {
        let event: Event =
            serde_json::from_value(json!({"id": "evt_1", "type": kind, "data": {"object": object}})).unwrap();
        event.about_invoice().unwrap()
    }

    fn object(id: &str, amount: i64, currency: &str, job: &str) -> Value {
        json!({"id": id, "amount_due": amount, "amount_paid": amount, "currency": currency,
               "metadata": {"stm_invoice": "7", "stm_job": job}})
    }

    #[test]
    fn only_what_fits_the_invoice_is_applied() {
        let judge = |kind, object| event(kind, object).unwrap().judge(&invoice());
        assert_eq!(judge("invoice.paid", object("in_1", 12_050, "usd", "70")), Verdict::Apply);
        for wrong in [
            object("in_1", 12_049, "usd", "70"),
            object("in_1", 0, "usd", "70"),
            object("in_1", 12_050, "eur", "70"),
            object("in_1", 12_050, "usd", "71"),
            object("in_2", 12_050, "usd", "70"),
        ] {
            let verdict = judge("invoice.paid", wrong.clone());
            assert!(matches!(verdict, Verdict::Refuse(_)), "{wrong}: {verdict:?}");
        }
        for kind in ["invoice.voided", "invoice.payment_failed"] {
            assert_eq!(judge(kind, object("in_1", 12_050, "usd", "70")), Verdict::Apply);
            assert_eq!(judge(kind, object("in_0", 12_050, "usd", "70")), Verdict::Ignore, "replaced since");
        }
    }

    #[test]
    fn refunds_are_possible_amounts_of_this_invoice() {
        let charge = |invoice: Option<&str>, refunded: i64| json!({"id": "ch_1", "invoice": invoice, "amount": 12_050, "amount_refunded": refunded, "currency": "usd"});
        for (refunded, is_applied) in [(0, false), (-1, false), (1, true), (12_050, true), (12_051, false)] {
            let verdict = event("charge.refunded", charge(Some("in_1"), refunded)).unwrap().judge(&invoice());
            assert_eq!(verdict == Verdict::Apply, is_applied, "{refunded}: {verdict:?}");
        }
        assert_eq!(event("charge.refunded", charge(None, 1)), None, "of no invoice");
        assert_eq!(event("customer.created", json!({})), None);
    }
}
