//! Periods of charts, and times in words: no I/O.

use chrono::{DateTime, Datelike as _, Days, Months, NaiveDate, NaiveTime, Utc};

/// The time that a chart covers, up to today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Period {
    /// So many days, a point each.
    Days(u64),
    /// Twelve months, a point each.
    Year,
}

/// The rule of a period.
pub(super) const PERIOD_RULE: &str = "must be 7days, 30days, 90days or 1year (also 7d, 30d, 90d, 1y)";

impl Period {
    /// Reads a period; a week without one. Returns `None` for an unknown one.
    pub(super) fn read(text: Option<&str>) -> Option<Self> {
        match text.map_or("7d", str::trim) {
            "7d" | "7days" => Some(Self::Days(7)),
            "30d" | "30days" => Some(Self::Days(30)),
            "90d" | "90days" => Some(Self::Days(90)),
            "1y" | "1year" => Some(Self::Year),
            _ => None,
        }
    }

    /// The unit of a point, in SQL's words.
    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::Days(_) => "day",
            Self::Year => "month",
        }
    }

    /// The first moment of the first point, in UTC.
    pub(super) fn start(self, now: DateTime<Utc>) -> DateTime<Utc> {
        let today = now.date_naive();
        let first = match self {
            Self::Days(days) => today.checked_sub_days(Days::new(days - 1)),
            Self::Year => first_of_month(today).checked_sub_months(Months::new(11)),
        };
        first.unwrap_or(today).and_time(NaiveTime::MIN).and_utc()
    }
}

fn first_of_month(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}

/// How long ago something was, for people.
pub(super) fn time_ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let minutes = (now - at).num_minutes();
    let (number, unit) = match minutes {
        ..1 => return "just now".to_owned(),
        1..60 => (minutes, "minute"),
        60..1440 => (minutes / 60, "hour"),
        _ => (minutes / 1440, "day"),
    };
    format!("{number} {unit}{} ago", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_period_begins_on_its_first_day() {
        let now = "2027-03-31T23:59:59Z".parse().unwrap();
        for (text, start) in [
            (None, "2027-03-25T00:00:00Z"),
            (Some("7days"), "2027-03-25T00:00:00Z"),
            (Some("30d"), "2027-03-02T00:00:00Z"),
            (Some("90days"), "2027-01-01T00:00:00Z"),
            (Some("1year"), "2026-04-01T00:00:00Z"),
        ] {
            let start: DateTime<Utc> = start.parse().unwrap();
            assert_eq!(Period::read(text).map(|period| period.start(now)), Some(start), "{text:?}");
        }
        assert_eq!(Period::read(Some("8days")), None);
    }

    #[test]
    fn times_in_words() {
        let now = Utc::now();
        for (minutes, words) in [
            (-5, "just now"),
            (0, "just now"),
            (1, "1 minute ago"),
            (59, "59 minutes ago"),
            (60, "1 hour ago"),
            (1439, "23 hours ago"),
            (2880, "2 days ago"),
        ] {
            assert_eq!(time_ago(now - TimeDelta::minutes(minutes), now), words);
        }
    }
}
