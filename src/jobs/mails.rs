//! E-mails to the customer, by the provider's templates.

use super::queries;
use super::transition::Job;
use crate::error::Result;
use crate::mail::{self, Letter};
use crate::types::time;
use doors::{Door, Tx};

/// What an e-mail about a job says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MailKind {
    /// The provider has accepted.
    Accepted,
    /// The provider has made an offer.
    Negotiation,
}

const ACCEPTED: (&str, &str) = (
    "Your request for [SERVICE_NAME] was accepted",
    "Hello [CUSTOMER_NAME],\n\n[BUSINESS_NAME] has accepted your request for [SERVICE_NAME].\n\n\
     Date: [SCHEDULED_DATE]\nPlace: [LOCATION]\n\nClose the deal in STM to go ahead.",
);

const NEGOTIATION: (&str, &str) = (
    "A new offer for [SERVICE_NAME]",
    "Hello [CUSTOMER_NAME],\n\n[BUSINESS_NAME] has made an offer for [SERVICE_NAME].\n\n\
     Date: [SCHEDULED_DATE]\nPlace: [LOCATION]\n\nRead and answer it in STM.",
);

/// Queues the e-mail of this kind, in the provider's words where it has any.
pub(super) async fn queue<D: Door>(tx: &mut Tx<D>, job: &Job, kind: MailKind) -> Result<()> {
    let templates = queries::find_mail_templates(tx, job.row.id).await?;
    let ((subject, body), (default_subject, default_body)) = match kind {
        MailKind::Accepted => ((templates.accepted_subject, templates.accepted_body), ACCEPTED),
        MailKind::Negotiation => ((templates.negotiation_subject, templates.negotiation_body), NEGOTIATION),
    };
    let date = job.row.state.scheduled_at.map_or_else(|| "not set yet".to_owned(), time::in_words);
    let values = [
        ("[CUSTOMER_NAME]", job.row.parties.customer_name.as_str()),
        ("[BUSINESS_NAME]", job.row.parties.business_name.as_str()),
        ("[SERVICE_NAME]", job.row.parties.service_name.as_str()),
        ("[LOCATION]", job.row.location.as_deref().unwrap_or(&job.row.zipcode)),
        ("[SCHEDULED_DATE]", date.as_str()),
    ];
    let letter = Letter::Job {
        subject: fill(subject.as_deref().unwrap_or(default_subject), &values),
        body: fill(body.as_deref().unwrap_or(default_body), &values),
    };
    mail::queue(tx, job.row.parties.customer_user_id, &templates.customer_email, &letter, None).await
}

/// Replaces variables by their values, in one pass: what a value contains is text.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find('[') {
        let (before, after) = rest.split_at(start);
        filled.push_str(before);
        if let Some((name, value)) = values.iter().find(|(name, _)| after.starts_with(name)) {
            filled.push_str(value);
            rest = &after[name.len()..];
        } else {
            filled.push('[');
            rest = &after[1..];
        }
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn values_are_not_read_again() {
        let values = [("[A]", "[B]"), ("[B]", "two")];
        assert_eq!(fill("[A] and [B], [C] [", &values), "[B] and two, [C] [");
    }
}
