//! Rules for fields. A request's errors are reported all at once.

use std::borrow::Cow;

use chrono::{DateTime, Duration, Utc};

use super::{dates, text};
use crate::error::{Error, FieldError};

/// The maximum length of a short text (a name, an address), in characters.
pub(crate) const SHORT_TEXT: usize = 200;

/// The maximum length of a long text (a description), in characters.
pub(crate) const LONG_TEXT: usize = 4000;

/// The maximum number of ZIP codes that a provider serves.
const MAX_ZIP_CODES: usize = 200;

/// The maximum number of rows of a list in one response.
pub(crate) const MAX_LIMIT: i64 = 100;

/// The maximum number of rows that a list may skip: PostgreSQL reads each of them.
pub(crate) const MAX_OFFSET: i64 = 100_000;

/// The fields of a request that break rules.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<FieldError>);

impl Fields {
    /// No errors yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Records that `field` breaks `rule`, which continues a sentence that begins with the field.
    pub(crate) fn refuse(&mut self, field: impl Into<Cow<'static, str>>, rule: &str) {
        let field = field.into();
        self.0.push(FieldError { message: format!("{field} {rule}"), field });
    }

    /// Records that `field` breaks `rule`, unless `ok`.
    pub(crate) fn check(&mut self, field: impl Into<Cow<'static, str>>, ok: bool, rule: &str) {
        if !ok {
            self.refuse(field, rule);
        }
    }

    /// A required text: without space around it, 1 to `max` characters, of which one is visible.
    pub(crate) fn text(&mut self, field: &'static str, value: Option<String>, max: usize) -> String {
        let errors = self.0.len();
        let text = self.optional_text(field, value, max);
        if text.is_none() && self.0.len() == errors {
            self.refuse(field, "must not be empty");
        }
        text.unwrap_or_default()
    }

    /// A required region, its words one space apart.
    pub(crate) fn region(&mut self, field: &'static str, value: Option<String>) -> String {
        let region = self.text(field, value, SHORT_TEXT);
        region.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// An optional text: without space around it, at most `max` characters. One without anything visible counts as missing.
    pub(crate) fn optional_text(&mut self, field: &'static str, value: Option<String>, max: usize) -> Option<String> {
        let text = value?;
        if text.contains('\0') {
            self.refuse(field, "must not contain the character U+0000");
            return None;
        }
        let text = text::clean(&text)?;
        if text.chars().count() > max {
            self.refuse(field, &format!("must be at most {max} characters"));
            return None;
        }
        Some(text)
    }

    /// An e-mail address, in its one form.
    pub(crate) fn email(&mut self, field: &'static str, value: Option<&str>) -> String {
        let email = value.and_then(text::email);
        self.check(field, email.is_some(), "must be an e-mail address");
        email.unwrap_or_default()
    }

    /// A US phone number, in E.164.
    pub(crate) fn us_phone_number(&mut self, field: &'static str, value: Option<&str>) -> String {
        let number = value.and_then(text::us_phone_number);
        self.check(field, number.is_some(), "must be a US phone number");
        number.unwrap_or_default()
    }

    /// A five-digit US ZIP code. ZIP+4 is cut to its first five digits.
    pub(crate) fn zip_code(&mut self, field: impl Into<Cow<'static, str>>, value: Option<&str>) -> String {
        let zip = value.and_then(|text| five_digits(&text::without_clutter(text)));
        self.check(field, zip.is_some(), "must be a US ZIP code of five digits");
        zip.unwrap_or_default()
    }

    /// A list of 1 to 200 ZIP codes: each once, in the order of the request.
    pub(crate) fn zip_codes(&mut self, field: &'static str, values: &[String]) -> Vec<String> {
        self.check(field, (1..=MAX_ZIP_CODES).contains(&values.len()), "must hold 1 to 200 ZIP codes");
        let mut zip_codes: Vec<String> = Vec::new();
        for (index, value) in values.iter().take(MAX_ZIP_CODES).enumerate() {
            let zip = self.zip_code(format!("{field}[{index}]"), Some(value));
            if !zip_codes.contains(&zip) {
                zip_codes.push(zip);
            }
        }
        zip_codes
    }

    /// An http or https URL of at most 2,000 characters. It is never fetched.
    pub(crate) fn web_url(&mut self, field: impl Into<Cow<'static, str>>, value: &str) {
        let ok = value.len() <= 2000
            && url::Url::parse(value).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        self.check(field, ok, "must be an http or https URL");
    }

    /// An appointment, neither past nor far away: a moment, or a day without a time. A blank one counts as missing. The
    /// last 24 hours are accepted, because today's date is another one elsewhere.
    pub(crate) fn appointment(
        &mut self,
        field: &'static str,
        value: Option<&str>,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let text = value.filter(|text| !text.trim().is_empty())?;
        let date = dates::parse_appointment(text);
        self.check(field, date.is_some(), dates::RULE);
        let is_near = date.is_none_or(|date| date >= now - Duration::days(1) && date <= now + Duration::days(2 * 366));
        self.check(field, is_near, "must be neither in the past nor more than two years ahead");
        date
    }

    /// The number of rows of a list: from 1. Above [`MAX_LIMIT`] it is that.
    pub(crate) fn limit(&mut self, value: Option<i64>, default: i64) -> i64 {
        let limit = value.unwrap_or(default);
        self.check("limit", limit >= 1, "must be at least 1");
        limit.min(MAX_LIMIT)
    }

    /// The number of rows of a list to skip: 0 (the default) to [`MAX_OFFSET`].
    pub(crate) fn offset(&mut self, value: Option<i64>) -> i64 {
        let offset = value.unwrap_or(0);
        self.check("offset", (0..=MAX_OFFSET).contains(&offset), "must be 0 to 100000");
        offset
    }

    /// Ends the check.
    ///
    /// # Errors
    /// 400 that names every field with an error.
    pub(crate) fn finish(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid(self.0)) }
    }
}

fn five_digits(text: &str) -> Option<String> {
    let (zip, extension) = text.split_once('-').unwrap_or((text, "0000"));
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    (digits(zip, 5) && digits(extension, 4)).then(|| zip.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zip_codes() {
        assert_eq!(five_digits("10001"), Some("10001".into()));
        assert_eq!(five_digits("10001-1234"), Some("10001".into()));
        for bad in ["", "1000", "100011", "1000a", "10001-", "10001-12", "१०००१"] {
            assert_eq!(five_digits(bad), None, "{bad}");
        }
    }

    #[test]
    fn all_errors_are_reported_at_once() {
        let mut fields = Fields::new();
        fields.text("firstName", None, 10);
        fields.text("lastName", Some("x".repeat(11)), 10);
        fields.zip_code("zipcode", Some("abc"));
        let Err(Error::Invalid(errors)) = fields.finish() else { panic!("accepted") };
        assert_eq!(errors.iter().map(|error| &*error.field).collect::<Vec<_>>(), ["firstName", "lastName", "zipcode"]);
    }
}
