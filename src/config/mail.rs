//! The settings of e-mail.

use std::time::Duration;

use lettre::message::Mailbox;

use super::{MailSettings, Reader};

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    pub(super) fn mail(&mut self) -> Option<MailSettings> {
        let (smtp_url, from) = (self.get("SMTP_URL"), self.get("MAIL_FROM"));
        if let Some(problem) = smtp_url.as_deref().and_then(smtp_problem) {
            self.problems.push(problem.into());
        }
        let from = from.map(|from| from.parse::<Mailbox>());
        let timeout = Duration::from_secs(self.number("SMTP_TIMEOUT_S", 60, 1, 300).into());
        match (smtp_url, from) {
            (Some(smtp_url), Some(Ok(from))) => return Some(MailSettings { smtp_url: smtp_url.into(), from, timeout }),
            (_, Some(Err(_))) => self.problems.push("MAIL_FROM must be an address: `STM <mail@example.com>`.".into()),
            (Some(_), None) => self.problems.push("MAIL_FROM is missing: SMTP_URL needs a sender.".into()),
            (None, Some(Ok(_)) | None) => {}
        }
        None
    }
}

/// What is wrong with an `SMTP_URL`. Passwords and codes travel there: only this machine is reached without TLS.
fn smtp_problem(text: &str) -> Option<&'static str> {
    let Ok(url) = url::Url::parse(text) else {
        return Some("SMTP_URL must be a URL: `smtps://user:password@host`.");
    };
    let is_loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let is_required = url.query_pairs().any(|(name, value)| name == "tls" && value == "required");
    match url.scheme() {
        _ if url.host_str().is_none_or(str::is_empty) => Some("SMTP_URL names no host: `smtps://user:password@host`."),
        "smtps" => None,
        "smtp" if is_required || is_loopback => None,
        "smtp" => Some("SMTP_URL is not encrypted: use `smtps://`, or append `?tls=required` for STARTTLS."),
        _ => Some("SMTP_URL must begin with `smtps://` or `smtp://`."),
    }
}
