//! What a change of status announces: notifications to those who did not make it, e-mails to the provider, and
//! notifications for the customers of jobs that stay open.

use super::queries::{self, LockedProvider, OpenJob};
use super::rules::{Actor, Command};
use crate::error::Result;
use crate::mail::{self, Letter};
use crate::notifications::{NewNotification, NotificationType};
use crate::outbox::Outbox;
use crate::types::{BanRequestId, UserId};
use doors::{Pooler, Tx};

/// Inserts the notifications of a change, and queues its e-mail.
pub(super) async fn announce(
    tx: &mut Tx<Pooler>,
    provider: &LockedProvider,
    command: Command,
    actor: Actor,
    reason: Option<&str>,
) -> Result<Outbox> {
    let because = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    let mut outbox = Outbox::default();
    if actor != Actor::Provider {
        let (title, body) = to_provider(command);
        let body = format!("{body}{because}");
        outbox.notify(tx, [notification(provider, provider.user_id, title, body.clone())]).await?;
        let body = format!("Hello {},\n\n{body}", provider.business_name);
        let letter = Letter::Notice { subject: title.into(), body };
        mail::queue(tx, provider.user_id, &provider.email, &letter, None).await?;
    }
    if actor != Actor::Lsm {
        let (title, body) = to_lsm(command);
        let body = format!("{} {body}{because}", provider.business_name);
        outbox.notify(tx, [notification(provider, provider.lsm_user_id, title, body)]).await?;
    }
    if command == Command::ForceDeactivate {
        let jobs = queries::list_open_jobs(tx, provider.id).await?;
        let notifications: Vec<_> = jobs.iter().map(|job| to_customer(provider, job)).collect();
        outbox.notify(tx, notifications).await?;
    }
    Ok(outbox)
}

/// The title and text for the provider.
const fn to_provider(command: Command) -> (&'static str, &'static str) {
    match command {
        Command::Approve => ("Welcome to STM", "You are approved, and take bookings from now on"),
        Command::Reject => ("Your registration was rejected", "Your registration was rejected"),
        Command::Activate => ("You are active again", "You take bookings again"),
        Command::Deactivate | Command::ForceDeactivate => {
            ("You were deactivated", "You take no bookings until you are active again")
        }
        Command::Ban => ("Your account is banned", "Your account is banned, and cannot be used any more"),
        Command::Close => ("Your account is closed", "Your account is closed"),
        Command::HandIn => ("Your documents are being looked at", "Your registration waits for your LSM again"),
        Command::Unban => ("Your account is open again", "The ban of your account is lifted: you take bookings again"),
    }
}

/// The title and the rest of a sentence that begins with the business's name, for the LSM.
const fn to_lsm(command: Command) -> (&'static str, &'static str) {
    match command {
        Command::Approve => ("Provider approved", "was approved"),
        Command::Reject => ("Provider rejected", "was rejected"),
        Command::Activate => ("Provider active", "takes bookings again"),
        Command::Deactivate | Command::ForceDeactivate => ("Provider inactive", "takes no bookings for now"),
        Command::Ban => ("Provider banned", "was banned"),
        Command::Unban => ("Ban lifted", "is no longer banned"),
        Command::Close => ("Provider gone", "has closed its account"),
        Command::HandIn => {
            ("Provider waits for approval", "has handed in a new document, and waits for your approval again")
        }
    }
}

/// The notification for the LSM whose request to ban a provider is decided by a ban, or by the provider's leaving.
pub(super) fn decided(
    provider: &LockedProvider,
    (request, lsm): (BanRequestId, UserId),
    is_approved: bool,
) -> NewNotification {
    let (title, outcome) = if is_approved {
        ("Ban request approved", "was approved")
    } else {
        ("Ban request rejected", "is settled: the account was closed")
    };
    NewNotification {
        recipient_id: lsm,
        kind: NotificationType::System,
        title: title.into(),
        message: format!("Your request to ban {} {outcome}", provider.business_name),
        metadata: serde_json::json!({"banRequestId": request, "providerId": provider.id}),
    }
}

/// The notification for the customer of a job that stays open.
fn to_customer(provider: &LockedProvider, job: &OpenJob) -> NewNotification {
    let business = &provider.business_name;
    let message = if job.is_new {
        format!("{business} takes no new bookings: you can give {} to another provider", job.service)
    } else {
        format!("{business} takes no new bookings, but {} goes on as agreed", job.service)
    };
    NewNotification {
        recipient_id: job.customer_user_id,
        kind: NotificationType::Job,
        title: "Your provider is inactive".into(),
        message,
        metadata: serde_json::json!({"jobId": job.id, "providerId": provider.id}),
    }
}

fn notification(
    provider: &LockedProvider,
    recipient_id: UserId,
    title: &'static str,
    message: String,
) -> NewNotification {
    NewNotification {
        recipient_id,
        kind: NotificationType::System,
        title: title.into(),
        message,
        metadata: serde_json::json!({"providerId": provider.id}),
    }
}
