//! The e-mails, as text and as HTML. No I/O.

use anyhow::Context as _;
use askama::Template;

/// The longest subject, in characters.
const MAX_SUBJECT: usize = 200;

/// What a one-time code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CodePurpose {
    PasswordReset,
    EmailVerification,
}

impl CodePurpose {
    /// The word in SQL.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::PasswordReset => "password_reset",
            Self::EmailVerification => "email_verification",
        }
    }
}

/// An e-mail to one user.
#[derive(Debug)]
pub(crate) enum Letter {
    /// A one-time code.
    Code { purpose: CodePurpose, code: String },
    /// The password was changed.
    PasswordChanged,
    /// The account was closed.
    AccountClosed,
    /// About a job, in the provider's words or in ours.
    Job { subject: String, body: String },
    /// From the platform, about the account.
    Notice { subject: String, body: String },
}

/// A rendered e-mail.
#[derive(Debug)]
pub(super) struct Content {
    pub subject: String,
    pub text: String,
    pub html: String,
}

#[derive(Template)]
#[template(path = "mail/code.txt")]
struct CodeText<'a> {
    occasion: &'a str,
    code: &'a str,
}

#[derive(Template)]
#[template(path = "mail/code.html")]
struct CodeHtml<'a> {
    occasion: &'a str,
    code: &'a str,
}

#[derive(Template)]
#[template(path = "mail/plain.txt")]
struct PlainText<'a> {
    paragraphs: &'a [&'a str],
}

#[derive(Template)]
#[template(path = "mail/plain.html")]
struct PlainHtml<'a> {
    paragraphs: &'a [&'a str],
}

impl Letter {
    /// Renders the templates.
    pub(super) fn render(&self) -> anyhow::Result<Content> {
        match self {
            Self::Code { purpose, code } => {
                let (subject, occasion) = match purpose {
                    CodePurpose::PasswordReset => ("Your code to reset your password", "to reset your password"),
                    CodePurpose::EmailVerification => {
                        ("Your code to confirm your e-mail address", "to confirm your e-mail address")
                    }
                };
                let text = CodeText { occasion, code }.render().context("render an e-mail")?;
                let html = CodeHtml { occasion, code }.render().context("render an e-mail")?;
                Ok(Content { subject: subject.into(), text, html })
            }
            Self::PasswordChanged => plain(
                "Your password was changed",
                &[
                    "The password of your STM account was changed, and every device was logged out.",
                    "If it was not you, reset the password at once.",
                ],
            ),
            Self::AccountClosed => plain(
                "Your account is closed",
                &["Your STM account is closed, and your personal data is erased. Thank you for having been with us."],
            ),
            Self::Job { subject, body } | Self::Notice { subject, body } => {
                let paragraphs: Vec<_> =
                    body.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()).collect();
                plain(subject, &paragraphs)
            }
        }
    }
}

fn plain(subject: &str, paragraphs: &[&str]) -> anyhow::Result<Content> {
    let text = PlainText { paragraphs }.render().context("render an e-mail")?;
    let html = PlainHtml { paragraphs }.render().context("render an e-mail")?;
    Ok(Content { subject: one_line(subject), text, html })
}

/// A subject without line breaks and other control characters, which would begin another header.
fn one_line(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_SUBJECT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_one_line_and_html_is_escaped() {
        let letter = Letter::Job {
            subject: "Hello\r\nBcc: all@example.com\u{85}".into(),
            body: "First <b>line</b>\nsecond\n\nA & B".into(),
        };
        let content = letter.render().unwrap();
        assert_eq!(content.subject, "Hello Bcc: all@example.com");
        assert!(content.text.contains("First <b>line</b>\nsecond\n\nA & B"), "{}", content.text);
        assert!(!content.html.contains("<b>") && !content.html.contains("A & B"), "{}", content.html);
    }

    #[test]
    fn a_code_stands_in_both_forms() {
        for purpose in [CodePurpose::PasswordReset, CodePurpose::EmailVerification] {
            let content = Letter::Code { purpose, code: "012345".into() }.render().unwrap();
            assert!(content.text.contains("012345") && content.html.contains("012345"));
            assert!(!content.subject.contains("012345"), "a subject is shown on locked screens");
        }
    }
}
