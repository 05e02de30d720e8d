//! Invoices: no I/O.

use crate::types::{Cents, InvoiceId, JobId, text_enum};

/// How often the customer is asked to pay one invoice.
pub(super) const MAX_TIMES_ASKED: i32 = 20;

/// After this many attempts, about a day, Stripe is given up.
pub(super) const MAX_ATTEMPTS: i32 = 20;

text_enum! {
    /// The status of an invoice.
    InvoiceStatus {
        /// To be made at Stripe.
        PendingCreation = "pending_creation",
        /// The customer was asked to pay.
        Open = "open",
        /// Could not be made or voided at Stripe.
        Failed = "failed",
        /// Paid.
        Paid = "paid",
        /// To be voided at Stripe, because the job was paid another way.
        PendingVoid = "pending_void",
        /// Cannot be paid any more.
        Void = "void",
        /// Paid, and refunded in full.
        Refunded = "refunded",
    }
}

/// An invoice, as its rules see it.
#[derive(Debug)]
pub(super) struct InvoiceRow {
    pub id: InvoiceId,
    pub job_id: JobId,
    pub amount: Cents,
    pub status: InvoiceStatus,
    pub stripe_invoice_id: Option<String>,
    /// The page where the customer pays.
    pub stripe_url: Option<String>,
    pub times_asked: i32,
    /// The amount of all refunds so far.
    pub refunded: Cents,
}

/// Seconds from one attempt to the next: doubled from ten seconds up to two hours.
pub(super) fn wait_s(attempts: i32) -> u32 {
    10_u32.saturating_mul(1 << (attempts - 1).clamp(0, 20)).min(7200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_ever_further_apart() {
        assert_eq!([1, 2, 3, 10, MAX_ATTEMPTS].map(wait_s), [10, 20, 40, 5120, 7200]);
    }
}
