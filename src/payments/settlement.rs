//! What becomes of an invoice and its job: asked for, paid, failed, void, refunded. Each in the caller's transaction, which
//! has locked the job.

use chrono::{DateTime, Utc};

use super::types::{InvoiceRow, InvoiceStatus};
use super::{messages, queries};
use crate::chat;
use crate::error::{Error, Result};
use crate::jobs::{Command, Job, PaymentMethod};
use crate::outbox::Outbox;
use crate::types::{Cents, JobId, Side};
use doors::{Pooler, Tx};

/// A locked job and its invoice.
#[derive(Debug)]
pub(super) struct Settlement {
    pub job: Job,
    pub invoice: InvoiceRow,
}

impl Settlement {
    /// Locks a job for the platform. Returns `None` if it has no invoice.
    pub(super) async fn lock(tx: &mut Tx<Pooler>, job: JobId) -> Result<Option<Self>> {
        let job = Job::load_for_platform(tx, job, None).await?;
        let invoice = queries::find(tx, job.row.id).await?;
        Ok(invoice.map(|invoice| Self { job, invoice }))
    }

    /// Asks the customer to pay, in the provider's name: a message in the chat unless it is closed, and a notification.
    pub(super) async fn ask(&self, tx: &mut Tx<Pooler>, url: Option<&str>, outbox: &mut Outbox) -> Result<()> {
        let Self { job, invoice } = self;
        queries::count_request(tx, invoice.id).await?;
        outbox.notify(tx, [messages::request_notification(job, invoice)]).await?;
        let parties = &job.row.parties;
        if let Some(chat) = parties.chat_id {
            let text = messages::request(job, invoice, url);
            let side = Side::ServiceProvider;
            let seq = chat::queries::insert_message(tx, chat, parties.provider_user_id, side, &text).await?;
            if let Some(seq) = seq {
                outbox.message(chat, seq);
            }
        }
        Ok(())
    }

    /// Applies an online payment. If the job was paid another way before, every admin is notified: one of the two
    /// payments has to go back.
    pub(super) async fn pay(&self, tx: &mut Tx<Pooler>, now: DateTime<Utc>, outbox: &mut Outbox) -> Result<()> {
        match self.invoice.status {
            InvoiceStatus::Paid | InvoiceStatus::Refunded => return Ok(()),
            InvoiceStatus::PendingCreation
            | InvoiceStatus::Open
            | InvoiceStatus::Failed
            | InvoiceStatus::PendingVoid
            | InvoiceStatus::Void => {}
        }
        // Before the job: an invoice that is still open would be voided with it.
        queries::set_status(tx, self.invoice.id, InvoiceStatus::Paid).await?;
        let command = Command::MarkPayment { method: PaymentMethod::Online, notes: None };
        match self.job.apply(command, now) {
            Ok(transition) => outbox.append(self.job.store(tx, &transition).await?.outbox),
            Err(Error::Conflict(..)) => {
                let text =
                    "it was paid online, but the job was paid another way before: refund one of the two payments";
                self.notify_admins(tx, "Paid twice", text, outbox).await?;
            }
            Err(other) => return Err(other),
        }
        Ok(())
    }

    /// Applies a failed attempt of the customer to pay.
    pub(super) async fn fail(&self, tx: &mut Tx<Pooler>, now: DateTime<Utc>, outbox: &mut Outbox) -> Result<()> {
        if self.invoice.status == InvoiceStatus::Open {
            queries::set_payment_failed(tx, self.invoice.id).await?;
            self.store(tx, Command::FailPayment, now, outbox).await?;
        }
        Ok(())
    }

    /// Applies that the invoice cannot be paid any more.
    pub(super) async fn void(&self, tx: &mut Tx<Pooler>, now: DateTime<Utc>, outbox: &mut Outbox) -> Result<()> {
        match self.invoice.status {
            InvoiceStatus::PendingCreation
            | InvoiceStatus::Open
            | InvoiceStatus::Failed
            | InvoiceStatus::PendingVoid => {
                queries::set_status(tx, self.invoice.id, InvoiceStatus::Void).await?;
                self.store(tx, Command::VoidInvoice, now, outbox).await
            }
            InvoiceStatus::Paid | InvoiceStatus::Void | InvoiceStatus::Refunded => Ok(()),
        }
    }

    /// Applies the refunds so far of a paid invoice. An older event than the last one changes nothing.
    pub(super) async fn refund(
        &self,
        tx: &mut Tx<Pooler>,
        refunded: Cents,
        now: DateTime<Utc>,
        outbox: &mut Outbox,
    ) -> Result<()> {
        if refunded <= self.invoice.refunded {
            return Ok(());
        }
        queries::set_refunded(tx, self.invoice.id, refunded).await?;
        self.store(tx, Command::Refund { refunded }, now, outbox).await
    }

    pub(super) async fn notify_admins(
        &self,
        tx: &mut Tx<Pooler>,
        title: &'static str,
        text: &str,
        outbox: &mut Outbox,
    ) -> Result<()> {
        let admins = queries::list_admins(tx).await?;
        let notifications = admins.into_iter().map(|admin| messages::for_admin(admin, &self.invoice, title, text));
        Ok(outbox.notify(tx, notifications).await?)
    }

    async fn store(
        &self,
        tx: &mut Tx<Pooler>,
        command: Command,
        now: DateTime<Utc>,
        outbox: &mut Outbox,
    ) -> Result<()> {
        let transition = self.job.apply(command, now)?;
        outbox.append(self.job.store(tx, &transition).await?.outbox);
        Ok(())
    }
}
