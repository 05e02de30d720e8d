//! The texts about invoices: the line in the job's chat, and notifications. No I/O.

use serde_json::json;

use super::types::InvoiceRow;
use crate::jobs::{Job, dollars, truncate_to_message};
use crate::notifications::{NewNotification, NotificationType};
use crate::types::UserId;

/// The provider's message in the chat that asks the customer to pay.
pub(super) fn request(job: &Job, invoice: &InvoiceRow, url: Option<&str>) -> String {
    let (amount, service) = (dollars(invoice.amount), &job.row.parties.service_name);
    truncate_to_message(match url {
        Some(url) => format!("Please pay {amount} for {service}: {url}"),
        None => format!("Please pay me {amount} for {service}. I will mark it as paid once I have received it."),
    })
}

/// The notification that asks the customer to pay.
pub(super) fn request_notification(job: &Job, invoice: &InvoiceRow) -> NewNotification {
    let parties = &job.row.parties;
    let (business, amount, service) = (&parties.business_name, dollars(invoice.amount), &parties.service_name);
    NewNotification {
        recipient_id: parties.customer_user_id,
        kind: NotificationType::Payment,
        title: "Invoice".into(),
        message: format!("{business} asks you to pay {amount} for {service}: the chat says how"),
        metadata: json!({"invoiceId": invoice.id, "jobId": job.row.id, "chatId": parties.chat_id}),
    }
}

/// The notification of a provider whose invoice could not be made.
pub(super) fn not_made(job: &Job, invoice: &InvoiceRow) -> NewNotification {
    let parties = &job.row.parties;
    let (customer, service) = (&parties.customer_name, &parties.service_name);
    NewNotification {
        recipient_id: parties.provider_user_id,
        kind: NotificationType::Payment,
        title: "Invoice not sent".into(),
        message: format!(
            "The invoice to {customer} for {service} could not be made: send it again, or ask to be paid directly"
        ),
        metadata: json!({"invoiceId": invoice.id, "jobId": job.row.id, "chatId": parties.chat_id}),
    }
}

/// The notification of an admin about something at Stripe that people have to look at.
pub(super) fn for_admin(admin: UserId, invoice: &InvoiceRow, title: &'static str, text: &str) -> NewNotification {
    NewNotification {
        recipient_id: admin,
        kind: NotificationType::System,
        title: title.into(),
        message: format!("Invoice {} for job {}: {text}", invoice.id.0, invoice.job_id.0),
        metadata: json!({"jobId": invoice.job_id, "stripeInvoiceId": invoice.stripe_invoice_id}),
    }
}
