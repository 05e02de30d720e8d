//! A provider's states, and how lists of jobs are narrowed: no I/O.

use chrono::{DateTime, Datelike as _, Days, NaiveDate, NaiveDateTime, Utc};
use serde::Deserialize as _;
use serde::de::value::{Error as WordError, StrDeserializer};

use crate::types::{JobStatus, text_enum};

text_enum! {
    /// Where a provider is between registration and ban.
    ProviderStatus {
        /// Waits for the LSM.
        Pending = "pending",
        /// Takes bookings.
        Active = "active",
        /// Away, by its own choice or the LSM's.
        Inactive = "inactive",
        /// Turned down by the LSM.
        Rejected = "rejected",
        /// Banned by an admin.
        Banned = "banned",
    }
}

impl ProviderStatus {
    /// May the provider itself switch between active and inactive?
    #[must_use]
    pub const fn may_switch(self) -> bool {
        matches!(self, Self::Active | Self::Inactive)
    }
}

/// Reads statuses separated by commas; blank ones count as not there. `None`: one of them is unknown.
#[must_use]
pub fn parse_statuses(text: &str) -> Option<Vec<JobStatus>> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    words.map(|word| JobStatus::deserialize(StrDeserializer::<WordError>::new(word)).ok()).collect()
}

/// Reads where a span of time begins: a moment (without a time zone it is UTC), or the first one of a day.
#[must_use]
pub fn parse_from(text: &str) -> Option<DateTime<Utc>> {
    parse_moment(text).or_else(|| parse_day(text).map(first_moment))
}

/// Reads where a span of time ends, itself not part of it: a moment, or the end of a day.
#[must_use]
pub fn parse_until(text: &str) -> Option<DateTime<Utc>> {
    parse_moment(text).or_else(|| parse_day(text)?.checked_add_days(Days::new(1)).map(first_moment))
}

fn parse_moment(text: &str) -> Option<DateTime<Utc>> {
    let zoned = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    let unzoned = || {
        ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"]
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
            .map(|time| time.and_utc())
    };
    zoned.ok().or_else(unzoned).filter(|time| is_in_reach(time.date_naive()))
}

fn parse_day(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|day| is_in_reach(*day))
}

/// Not so far away that the database does not know it.
fn is_in_reach(day: NaiveDate) -> bool {
    (1..=9999).contains(&day.year())
}

fn first_moment(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(chrono::NaiveTime::MIN).and_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_from_a_list() {
        assert_eq!(parse_statuses("new, in_progress,"), Some(vec![JobStatus::New, JobStatus::InProgress]));
        assert_eq!(parse_statuses(" "), Some(vec![]));
        assert_eq!(parse_statuses("new,unknown"), None);
    }

    #[test]
    fn a_day_is_meant_as_a_whole() {
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

    #[test]
    fn only_active_and_inactive_providers_switch() {
        let all = [
            ProviderStatus::Pending,
            ProviderStatus::Active,
            ProviderStatus::Inactive,
            ProviderStatus::Rejected,
            ProviderStatus::Banned,
        ];
        let may: Vec<_> = all.into_iter().filter(|status| status.may_switch()).collect();
        assert_eq!(may, [ProviderStatus::Active, ProviderStatus::Inactive]);
    }
}
