//! Dates of requests, in every form of ISO 8601 that programs write: a moment, or a day without a time.

use chrono::{DateTime, Datelike as _, Days, FixedOffset, NaiveDate, NaiveTime, SubsecRound as _, Timelike as _, Utc};

use crate::types::time;

/// The rule of every date.
pub(crate) const RULE: &str = "must be an ISO-8601 date, such as 2026-12-02 or 2026-12-02T10:00:00Z";

/// A date as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Date {
    Day(NaiveDate),
    /// In whole milliseconds.
    Moment(DateTime<Utc>),
}

/// Parses an appointment. A day stays one: see [`time::day`].
pub(crate) fn parse_appointment(text: &str) -> Option<DateTime<Utc>> {
    parse(text).map(|date| match date {
        Date::Day(day) => time::day(day),
        Date::Moment(moment) => moment,
    })
}

/// Parses the start of a time range: a moment, or the first moment of a day.
pub(crate) fn parse_from(text: &str) -> Option<DateTime<Utc>> {
    parse(text).map(|date| match date {
        Date::Day(day) => midnight(day),
        Date::Moment(moment) => moment,
    })
}

/// Parses the exclusive end of a time range: a moment, or the end of a day.
pub(crate) fn parse_until(text: &str) -> Option<DateTime<Utc>> {
    match parse(text)? {
        Date::Day(day) => midnight(day).checked_add_days(Days::new(1)),
        Date::Moment(moment) => Some(moment),
    }
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// Parses a date. The time, its seconds and its zone may be missing, the zone's colon too; without a zone it is UTC. There
/// are no leap seconds: neither browsers nor PostgreSQL could show one.
fn parse(text: &str) -> Option<Date> {
    let text = text.trim();
    let (day, rest) = text.split_at_checked(10)?;
    let day = NaiveDate::parse_from_str(day, "%Y-%m-%d").ok().filter(|day| is_in_range(*day))?;
    let Some(rest) = rest.strip_prefix(['T', 't', ' ']) else {
        return rest.is_empty().then_some(Date::Day(day));
    };
    let (clock, zone) = rest.split_at(rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len()));
    let clock = clock.trim_end().replace(',', ".");
    let clock = ["%H:%M", "%H:%M:%S%.f"].iter().find_map(|format| NaiveTime::parse_from_str(&clock, format).ok())?;
    let moment = day.and_time(clock).and_local_timezone(parse_zone(zone)?).single()?.to_utc();
    let is_leap_second = clock.nanosecond() >= 1_000_000_000;
    (!is_leap_second && is_in_range(moment.date_naive())).then(|| Date::Moment(moment.trunc_subsecs(3)))
}

/// `Z`, `+01:00`, `+0100`, `+01`, or nothing.
fn parse_zone(zone: &str) -> Option<FixedOffset> {
    match zone {
        "" | "Z" | "z" => FixedOffset::east_opt(0),
        hours if hours.len() == 3 => format!("{hours}00").parse().ok(),
        zone => zone.parse().ok(),
    }
}

/// Whether PostgreSQL and JSON can both represent the year.
fn is_in_range(day: NaiveDate) -> bool {
    (1..=9999).contains(&day.year())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(time: Option<DateTime<Utc>>) -> Option<String> {
        time.map(|time| time.to_rfc3339())
    }

    #[test]
    fn appointments_in_all_notations() {
        for (given, expected) in [
            ("2026-12-01T10:00:00.000Z", "2026-12-01T10:00:00+00:00"),
            ("2026-12-01T10:00:00-05:00", "2026-12-01T15:00:00+00:00"),
            ("2026-12-01T10:00", "2026-12-01T10:00:00+00:00"),
            ("2026-12-01T10:00Z", "2026-12-01T10:00:00+00:00"),
            ("2026-12-01t10:00z", "2026-12-01T10:00:00+00:00"),
            ("2026-12-01T10:00+0000", "2026-12-01T10:00:00+00:00"),
            ("2026-12-01T10:00:00-0530", "2026-12-01T15:30:00+00:00"),
            ("2026-12-01 10:00:00", "2026-12-01T10:00:00+00:00"),
            ("2026-12-01 10:00:00+02", "2026-12-01T08:00:00+00:00"),
            ("2026-12-01 10:00:00 +0000", "2026-12-01T10:00:00+00:00"),
            ("2026-12-01T10:00:00,25Z", "2026-12-01T10:00:00.250+00:00"),
            ("2026-12-01T10:00:00.123456789Z", "2026-12-01T10:00:00.123+00:00"),
            (" 2026-12-01 10:00 ", "2026-12-01T10:00:00+00:00"),
            ("2026-12-01", "2026-12-01T12:00:00.000001+00:00"),
        ] {
            assert_eq!(text(parse_appointment(given)).as_deref(), Some(expected), "{given}");
        }
        for bad in [
            "",
            "tomorrow",
            "12/01/2026",
            "2026-13-01",
            "2026-02-30",
            "2026-12-01T",
            "2026-12-01T10",
            "2026-12-01T24:00",
            "2026-12-01T10:00:00+99:00",
            "2026-12-01T10:00:00+1:00",
            "2026-12-01T10:00:00Zulu",
            "2026-12-31T23:59:60Z",
            "2026-12-31T10:00:60",
            "2026-12-0é",
        ] {
            assert_eq!(parse_appointment(bad), None, "{bad}");
        }
    }

    #[test]
    fn no_moment_passes_for_a_day() {
        assert!(parse_appointment("2026-12-01").is_some_and(time::is_day));
        assert!(!parse_appointment("2026-12-01T12:00:00.000001Z").is_some_and(time::is_day));
    }

    #[test]
    fn a_day_counts_as_a_whole() {
        assert_eq!(text(parse_from("2026-12-01")).as_deref(), Some("2026-12-01T00:00:00+00:00"));
        assert_eq!(text(parse_until("2026-12-31")).as_deref(), Some("2027-01-01T00:00:00+00:00"));
        for moment in ["2026-12-01T10:00:00.000-05:00", "2026-12-01T15:00"] {
            assert_eq!(text(parse_until(moment)).as_deref(), Some("2026-12-01T15:00:00+00:00"), "{moment}");
        }
        for bad in [
            "",
            "yesterday",
            "2026-02-30",
            "+262000-01-01",
            "-9999-01-01T00:00",
            "0001-01-01T00:00+10:00",
            "12/01/2026",
        ] {
            assert_eq!((parse_from(bad), parse_until(bad)), (None, None), "{bad}");
        }
    }
}
