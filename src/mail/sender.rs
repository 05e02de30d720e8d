//! Sending what is queued: claims, attempts, back-off.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::join_all;
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::response::{Category, Severity};
use lettre::transport::smtp::{AsyncSmtpTransportBuilder, PoolConfig};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use secrecy::ExposeSecret as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::queries::{self, Claimed};
use crate::config::MailSettings;
use doors::Pooler;

/// How much longer than an attempt a claim holds: its result has to be stored.
const LEASE_MARGIN: Duration = Duration::from_secs(60);

/// How long attempts that have begun may go on when the process stops.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// How many e-mails a process sends at once.
const BATCH: i64 = 8;

/// After this many attempts, about a day, an e-mail is given up.
const MAX_ATTEMPTS: i32 = 20;

/// How e-mails leave this process.
pub(crate) enum Sender {
    /// Over SMTP.
    Smtp(Box<Smtp>),
    /// Shown in the log, on a development machine.
    Log,
    /// Not at all: they wait until `SMTP_URL` is set.
    Nobody,
}

/// A mail server.
pub(crate) struct Smtp {
    builder: AsyncSmtpTransportBuilder,
    /// The pool of connections.
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    /// The maximum time of an attempt.
    timeout: Duration,
}

/// The result of an attempt that failed.
enum Failure {
    /// The server has not answered in time.
    Timeout,
    /// Another attempt may succeed.
    Later(String),
    /// No attempt will.
    Final(String),
}

impl Sender {
    /// Prepares sending, and logs how. `is_local`: both databases are on this machine.
    ///
    /// # Errors
    /// `SMTP_URL` cannot be used.
    pub(crate) fn new(settings: Option<&MailSettings>, is_local: bool) -> anyhow::Result<Self> {
        match settings {
            Some(settings) => {
                let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(settings.smtp_url.expose_secret());
                let builder = builder.ok().context("SMTP_URL cannot be used")?;
                let pool = PoolConfig::new().max_size(4).idle_timeout(Duration::from_secs(30));
                let builder = builder.timeout(Some(settings.timeout)).pool_config(pool);
                tracing::info!("e-mail is sent over SMTP (SMTP_URL)");
                let (transport, from) = (builder.clone().build(), settings.from.clone());
                Ok(Self::Smtp(Box::new(Smtp { builder, transport, from, timeout: settings.timeout })))
            }
            None if is_local => {
                tracing::info!("SMTP_URL is not set: e-mail is not sent, but shown in this log");
                Ok(Self::Log)
            }
            None => {
                tracing::warn!("SMTP_URL is not set: e-mail is not sent, and waits in stm.emails. Set it.");
                Ok(Self::Nobody)
            }
        }
    }

    /// Sends what is due, until nothing is, or it is time to stop.
    pub(crate) async fn send_due(&mut self, pooler: &Pooler, stopped: &CancellationToken) {
        while !stopped.is_cancelled() {
            match self.send_batch(pooler, stopped).await {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "e-mails could not be claimed; trying again later");
                    return;
                }
            }
        }
    }

    async fn send_batch(&mut self, pooler: &Pooler, stopped: &CancellationToken) -> sqlx::Result<usize> {
        let timeout = match self {
            Self::Smtp(smtp) => smtp.timeout,
            Self::Log | Self::Nobody => Duration::ZERO,
        };
        let mut tx = pooler.write().await?;
        queries::set_expired(&mut tx, 1000).await?;
        let claimed = match self {
            Self::Nobody => Vec::new(),
            Self::Smtp(_) | Self::Log => queries::claim(&mut tx, BATCH, (timeout + LEASE_MARGIN).as_secs_f64()).await?,
        };
        tx.commit().await?;
        // One moment for all: none goes on with the pool after another was cut off.
        let until = Instant::now() + timeout;
        let attempts = join_all(claimed.iter().map(|email| self.attempt(pooler, email, until)));
        let stop = async {
            stopped.cancelled().await;
            tokio::time::sleep(STOP_GRACE).await;
        };
        let is_cut_off = tokio::select! {
            cut_off = attempts => cut_off.contains(&true),
            () = stop => true,
        };
        if let Self::Smtp(smtp) = self
            && is_cut_off
        {
            // The pool takes back a connection whose dialogue was cut off. A late answer on it would be read as the answer
            // to the next e-mail.
            smtp.transport = smtp.builder.clone().build();
        }
        Ok(claimed.len())
    }

    /// Makes an attempt and stores its result. Returns whether it was cut off.
    async fn attempt(&self, pooler: &Pooler, email: &Claimed, until: Instant) -> bool {
        let sent = self.send(email, until).await;
        let is_cut_off = matches!(sent, Err(Failure::Timeout));
        if let Err(error) = store(pooler, email, sent).await {
            // The lease ends by itself; another attempt follows, with the same Message-ID.
            tracing::warn!(email = %email.id, %error, "the result of an attempt to send an e-mail was not stored");
        }
        is_cut_off
    }

    async fn send(&self, email: &Claimed, until: Instant) -> Result<(), Failure> {
        match self {
            Self::Smtp(smtp) => {
                let message = message(&smtp.from, email).map_err(|error| Failure::Final(format!("{error:#}")))?;
                match tokio::time::timeout_at(until, smtp.transport.send(message)).await {
                    Ok(sent) => sent.map(drop).map_err(|error| failure(&error)),
                    Err(_) => Err(Failure::Timeout),
                }
            }
            Self::Log => {
                let Claimed { recipient, subject, body_text, .. } = email;
                tracing::info!("e-mail to {recipient}: {subject}\n{body_text}");
                Ok(())
            }
            Self::Nobody => Err(Failure::Later("SMTP_URL is not set".into())),
        }
    }
}

/// The message, under the Message-ID that all its attempts share.
fn message(from: &Mailbox, email: &Claimed) -> anyhow::Result<Message> {
    let address: Address = email.recipient.parse().context("the address cannot be used")?;
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, address))
        .subject(email.subject.clone())
        .message_id(Some(format!("<{}@{}>", email.id, from.email.domain())))
        .date_now()
        .multipart(MultiPart::alternative_plain_html(email.body_text.clone(), email.body_html.clone()))
        .context("the message cannot be built")
}

/// The failure behind an error, without the server's words: they may repeat the address.
fn failure(error: &lettre::transport::smtp::Error) -> Failure {
    let Some(code) = error.status() else {
        let kind = if error.is_timeout() {
            "timeout"
        } else if error.is_tls() {
            "TLS"
        } else if error.is_client() {
            return Failure::Final("the message cannot be sent".into());
        } else {
            "connection"
        };
        return Failure::Later(kind.into());
    };
    // 55x: this mailbox or message. Other permanent codes are about us, such as a wrong password.
    if code.severity == Severity::PermanentNegativeCompletion && code.category == Category::MailSystem {
        Failure::Final(code.to_string())
    } else {
        Failure::Later(code.to_string())
    }
}

async fn store(pooler: &Pooler, email: &Claimed, sent: Result<(), Failure>) -> sqlx::Result<()> {
    let sent = sent.map_err(|failure| match failure {
        Failure::Timeout => ("timeout".to_owned(), false),
        Failure::Later(why) => (why, false),
        Failure::Final(why) => (why, true),
    });
    let mut tx = pooler.write().await?;
    match sent {
        Ok(()) => queries::set_sent(&mut tx, email.id, email.attempts).await?,
        Err((why, false)) if email.attempts < MAX_ATTEMPTS => {
            tracing::warn!(email = %email.id, attempt = email.attempts, why, "an e-mail was not sent; trying again");
            queries::set_queued(&mut tx, email.id, email.attempts, wait_s(email.attempts).into(), &why).await?;
        }
        Err((why, _)) => {
            tracing::error!(email = %email.id, attempt = email.attempts, why, "an e-mail is given up (stm.emails, status dead)");
            queries::set_dead(&mut tx, email.id, email.attempts, &why).await?;
        }
    }
    tx.commit().await
}

/// Seconds from one attempt to the next: doubled from ten seconds up to two hours.
fn wait_s(attempts: i32) -> u32 {
    10_u32.saturating_mul(1 << (attempts - 1).clamp(0, 20)).min(7200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_ever_further_apart() {
        assert_eq!([1, 2, 3, 10, 20].map(wait_s), [10, 20, 40, 5120, 7200]);
    }

    #[test]
    fn a_bad_address_or_subject_begins_no_header() {
        let from: Mailbox = "STM <mail@example.com>".parse().unwrap();
        let email = |recipient: &str, subject: &str| Claimed {
            id: uuid::Uuid::nil(),
            recipient: recipient.into(),
            subject: subject.into(),
            body_text: "text".into(),
            body_html: "<p>html</p>".into(),
            attempts: 1,
        };
        for bad in ["ann@example.com\r\nBcc: bob@example.com", "ann", "ann@example.com, bob@example.com"] {
            assert!(message(&from, &email(bad, "s")).is_err(), "{bad}");
        }
        let formatted = message(&from, &email("ann@example.com", "a\r\nBcc: bob@example.com")).unwrap().formatted();
        let text = String::from_utf8(formatted).unwrap();
        assert!(!text.lines().any(|line| line.to_lowercase().starts_with("bcc:")), "{text}");
        assert!(text.contains("<00000000-0000-0000-0000-000000000000@example.com>"), "{text}");
    }
}
