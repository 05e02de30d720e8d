//! Times in JSON (ISO-8601, UTC, milliseconds), and days without a time.

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Utc};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// What a day has, and a moment of a request has not.
const MARK: TimeDelta = TimeDelta::microseconds(1);

/// A moment, as clients read it: `2026-11-23T21:07:39.123Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-11-23T21:07:39.123Z")]
pub struct Timestamp(pub DateTime<Utc>);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time)
    }
}

/// The moment that stands for a day without a time: its noon in UTC, which is on the same date in every zone of the
/// United States. The microsecond marks it: no moment of a request has one.
pub(crate) fn day(date: NaiveDate) -> DateTime<Utc> {
    (date.and_time(NaiveTime::MIN) + TimeDelta::hours(12) + MARK).and_utc()
}

/// Whether it stands for a day without a time.
pub(crate) fn is_day(time: DateTime<Utc>) -> bool {
    time == day(time.date_naive())
}

/// A day or a moment for people: `January 20, 2027`, or `January 20, 2027, 9:30 AM UTC`.
pub(crate) fn in_words(time: DateTime<Utc>) -> String {
    let format = if is_day(time) { "%B %-d, %Y" } else { "%B %-d, %Y, %-I:%M %p UTC" };
    time.format(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_no_time() {
        let date = NaiveDate::from_ymd_opt(2027, 1, 20).unwrap();
        assert_eq!(in_words(day(date)), "January 20, 2027");
        for (hour, minute, words) in [(0, 0, "12:00 AM"), (9, 30, "9:30 AM"), (12, 0, "12:00 PM"), (23, 59, "11:59 PM")]
        {
            let time = date.and_hms_opt(hour, minute, 0).unwrap().and_utc();
            assert!(!is_day(time));
            assert_eq!(in_words(time), format!("January 20, 2027, {words} UTC"));
        }
    }

    #[test]
    fn a_day_has_its_date_from_hawaii_to_maine() {
        let date = NaiveDate::from_ymd_opt(2027, 1, 20).unwrap();
        for hours in [-10, -5, -4] {
            assert_eq!((day(date) + TimeDelta::hours(hours)).date_naive(), date);
        }
        let json = serde_json::to_string(&Timestamp(day(date))).unwrap();
        assert_eq!(json, r#""2027-01-20T12:00:00.000Z""#);
    }
}
