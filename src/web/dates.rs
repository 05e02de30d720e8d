//! Dates of requests: a moment with a time zone, a moment in UTC without one, or a day.

use chrono::{DateTime, Datelike as _, Days, NaiveDate, NaiveDateTime, NaiveTime, Utc};

/// Parses an appointment. A day means its first moment.
pub(crate) fn parse_appointment(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    parse_moment(text).or_else(|| parse_unzoned(text, "%Y-%m-%d %H:%M")).or_else(|| parse_day(text))
}

/// Parses the start of a time range: a moment, or the first moment of a day.
pub(crate) fn parse_from(text: &str) -> Option<DateTime<Utc>> {
    parse_moment(text).or_else(|| parse_day(text)).filter(is_in_range)
}

/// Parses the exclusive end of a time range: a moment, or the end of a day.
pub(crate) fn parse_until(text: &str) -> Option<DateTime<Utc>> {
    match parse_moment(text) {
        Some(moment) => Some(moment).filter(is_in_range),
        None => parse_day(text).filter(is_in_range)?.checked_add_days(Days::new(1)),
    }
}

fn parse_moment(text: &str) -> Option<DateTime<Utc>> {
    let zoned = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc()).ok();
    zoned.or_else(|| parse_unzoned(text, "%Y-%m-%dT%H:%M:%S%.f")).or_else(|| parse_unzoned(text, "%Y-%m-%dT%H:%M"))
}

fn parse_unzoned(text: &str, format: &str) -> Option<DateTime<Utc>> {
    NaiveDateTime::parse_from_str(text, format).map(|time| time.and_utc()).ok()
}

/// The first moment of a day.
fn parse_day(text: &str) -> Option<DateTime<Utc>> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|day| day.and_time(NaiveTime::MIN).and_utc()).ok()
}

/// Whether PostgreSQL and JSON can both represent the year.
fn is_in_range(time: &DateTime<Utc>) -> bool {
    (1..=9999).contains(&time.year())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appointments_in_all_notations() {
        for (text, expected) in [
            ("2026-12-01T10:00:00.000Z", "2026-12-01T10:00:00+00:00"),
            ("2026-12-01T10:00:00-05:00", "2026-12-01T15:00:00+00:00"),
            ("2026-12-01T10:00", "2026-12-01T10:00:00+00:00"),
            (" 2026-12-01 10:00 ", "2026-12-01T10:00:00+00:00"),
            ("2026-12-01", "2026-12-01T00:00:00+00:00"),
        ] {
            assert_eq!(parse_appointment(text).unwrap().to_rfc3339(), expected, "{text}");
        }
        for bad in ["", "tomorrow", "12/01/2026", "2026-13-01", "2026-02-30"] {
            assert_eq!(parse_appointment(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_day_counts_as_a_whole() {
        let text = |time: Option<DateTime<Utc>>| time.map(|time| time.to_rfc3339());
        assert_eq!(text(parse_from("2026-12-01")).as_deref(), Some("2026-12-01T00:00:00+00:00"));
        assert_eq!(text(parse_until("2026-12-31")).as_deref(), Some("2027-01-01T00:00:00+00:00"));
        for moment in ["2026-12-01T10:00:00.000-05:00", "2026-12-01T15:00"] {
            assert_eq!(text(parse_until(moment)).as_deref(), Some("2026-12-01T15:00:00+00:00"), "{moment}");
        }
        for bad in ["", "yesterday", "2026-02-30", "+262000-01-01", "-9999-01-01T00:00", "12/01/2026"] {
            assert_eq!((parse_from(bad), parse_until(bad)), (None, None), "{bad}");
        }
    }
}
