//! Times in JSON (ISO-8601, UTC, milliseconds), and days without a time.

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Timelike as _, Utc};
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
        let mut text = *b"0000-00-00T00:00:00.000Z";
        match self.write(&mut text).and_then(|()| std::str::from_utf8(&text).ok()) {
            Some(text) => serializer.serialize_str(text),
            None => serializer.serialize_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true)),
        }
    }
}

impl Timestamp {
    /// Writes the digits into their places. A list has a moment in every row, and the library's formatter takes five
    /// times as long. `None`: a year with more than four digits, or a leap second.
    fn write(self, text: &mut [u8; 24]) -> Option<()> {
        let year = u32::try_from(self.0.year()).ok().filter(|year| *year < 10_000)?;
        let millis = Some(self.0.nanosecond() / 1_000_000).filter(|millis| *millis < 1000)?;
        let parts = [
            (0..4, year),
            (5..7, self.0.month()),
            (8..10, self.0.day()),
            (11..13, self.0.hour()),
            (14..16, self.0.minute()),
            (17..19, self.0.second()),
            (20..23, millis),
        ];
        for (place, mut number) in parts {
            for digit in text[place].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        Some(())
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
    fn a_moment_is_written_as_the_library_writes_it() {
        let seconds = [
            -62_167_219_200, // 0000-01-01
            -1,
            0,
            951_827_696,
            1_795_468_059,
            253_402_300_799, // 9999-12-31
            253_402_300_800,
            -62_167_219_201,
        ];
        let odd = (0..2000).map(|n| n * 86_398_999 + n * n);
        for second in seconds.into_iter().chain(odd) {
            for nanos in [0, 1, 999_999, 7_000_000, 123_456_789, 999_999_999] {
                let time = DateTime::from_timestamp(second, nanos).unwrap();
                let json = serde_json::to_string(&Timestamp(time)).unwrap();
                assert_eq!(json, format!("{:?}", time.to_rfc3339_opts(SecondsFormat::Millis, true)));
            }
        }
        let leap = NaiveTime::from_hms_milli_opt(23, 59, 59, 1500).unwrap();
        let leap = NaiveDate::from_ymd_opt(2016, 12, 31).unwrap().and_time(leap).and_utc();
        assert_eq!(serde_json::to_string(&Timestamp(leap)).unwrap(), r#""2016-12-31T23:59:60.500Z""#);
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
