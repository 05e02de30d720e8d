//! A provider's states, and filters of job lists: no I/O.

use serde::Deserialize as _;
use serde::de::value::{Error as WordError, StrDeserializer};

use crate::types::{JobStatus, text_enum};

text_enum! {
    /// The status of a provider.
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
    /// Whether the provider may switch between active and inactive.
    pub(crate) const fn may_switch(self) -> bool {
        matches!(self, Self::Active | Self::Inactive)
    }
}

/// Parses statuses separated by commas, ignoring blank ones. Returns `None` if one is unknown. No job is ever `accepted`,
/// which the web client asks for.
pub(crate) fn parse_statuses(text: &str) -> Option<Vec<JobStatus>> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty() && *word != "accepted");
    words.map(|word| JobStatus::deserialize(StrDeserializer::<WordError>::new(word)).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_from_a_list() {
        assert_eq!(parse_statuses("new, in_progress,"), Some(vec![JobStatus::New, JobStatus::InProgress]));
        assert_eq!(parse_statuses("accepted"), Some(vec![]));
        assert_eq!(parse_statuses("new,unknown"), None);
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
