//! A provider's states and pictures, and filters of job lists: no I/O.

use serde::de::value::{Error as WordError, StrDeserializer};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::files::{Audience, FileId, FileUrls};
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
#[serde(rename_all = "camelCase")]
pub(super) struct GalleryImageView {
    /// A UUID; a number for a picture elsewhere, which the profile names by its URL.
    id: String,
    url: String,
    /// The same in small: at most 400 pixels on a side.
    thumbnail_url: String,
    caption: Option<String>,
    /// The place in the gallery, from 1.
    order: usize,
}

/// A picture of the gallery, as it is read from the database, alone or as JSON.
#[derive(Debug, Deserialize)]
pub(super) struct GalleryImageRow {
    pub id: Uuid,
    pub file_id: Uuid,
    pub file_name: String,
    pub caption: Option<String>,
}

impl GalleryImageView {
    pub(super) fn new(row: GalleryImageRow, order: usize, urls: &FileUrls) -> Self {
        let (file, name) = (FileId(row.file_id), &row.file_name);
        Self {
            id: row.id.to_string(),
            url: urls.url(file, name, Audience::Everybody),
            thumbnail_url: urls.thumbnail(file, name, Audience::Everybody),
            caption: row.caption,
            order,
        }
    }

    /// The gallery's pictures, and then those elsewhere.
    pub(super) fn list(rows: Vec<GalleryImageRow>, elsewhere: Vec<String>, urls: &FileUrls) -> Vec<Self> {
        let ours = (1..).zip(rows).map(|(order, row)| Self::new(row, order, urls));
        let mut images: Vec<_> = ours.collect();
        for url in elsewhere {
            let order = images.len() + 1;
            images.push(Self { id: order.to_string(), thumbnail_url: url.clone(), url, caption: None, order });
        }
        images
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
