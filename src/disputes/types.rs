//! Disputes as values: no I/O.

use serde::Serialize;
use utoipa::ToSchema;

use crate::types::{ChatId, text_enum};

text_enum! {
    /// The state of a dispute.
    DisputeStatus {
        /// Waits for the LSM.
        Open = "open",
        /// Resolved by the LSM.
        Resolved = "resolved",
    }
}

text_enum! {
    /// The state of a dispute, in clients' words.
    DisputeProgress {
        /// Waits for the LSM. Some clients say `open`.
        #[serde(alias = "open")]
        Pending = "pending",
        /// The LSM has joined the chat.
        UnderReview = "under_review",
        /// Resolved by the LSM.
        Resolved = "resolved",
    }
}

impl DisputeProgress {
    pub(crate) const fn new(status: DisputeStatus, has_joined: bool) -> Self {
        match status {
            DisputeStatus::Open if has_joined => Self::UnderReview,
            DisputeStatus::Open => Self::Pending,
            DisputeStatus::Resolved => Self::Resolved,
        }
    }
}

/// The LSM's part in the chat of both parties.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DisputeChatView {
    pub chat_id: ChatId,
    /// Whether the LSM may be a member: until the dispute is resolved or the chat is closed.
    pub lsm_invited: bool,
    /// Whether the LSM is a member.
    pub lsm_joined: bool,
}
