//! A provider's states and pictures, and filters of job lists: no I/O.

use serde::de::value::{Error as WordError, StrDeserializer};
use serde::{Deserialize as _, Serialize};
use utoipa::ToSchema;

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

/// A picture of the business.
#[derive(Serialize, ToSchema)]
pub(super) struct GalleryImageView {
    id: usize,
    url: String,
    /// The place in the gallery, from 1.
    order: usize,
}

impl GalleryImageView {
    /// Pictures in the order of their URLs.
    pub(super) fn list(urls: Vec<String>) -> Vec<Self> {
        (1..).zip(urls).map(|(place, url)| Self { id: place, url, order: place }).collect()
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
}
