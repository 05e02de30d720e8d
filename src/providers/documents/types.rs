//! The rules of documents: no I/O.

use crate::error::{Error, Result};
use crate::types::text_enum;

text_enum! {
    /// The status of a document.
    DocumentStatus {
        /// Waits for the LSM.
        Pending = "pending",
        /// The LSM has looked at it and found it in order.
        Verified = "verified",
        /// Turned down by the LSM.
        Rejected = "rejected",
    }
}

/// What an LSM finds of a document.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Verified,
    Rejected { reason: String },
}

impl Finding {
    pub(super) const fn status(&self) -> DocumentStatus {
        match self {
            Self::Verified => DocumentStatus::Verified,
            Self::Rejected { .. } => DocumentStatus::Rejected,
        }
    }

    pub(super) fn reason(&self) -> Option<&str> {
        match self {
            Self::Verified => None,
            Self::Rejected { reason } => Some(reason),
        }
    }
}

impl DocumentStatus {
    /// Checks that a document waits for its review.
    ///
    /// # Errors
    /// 409 it was reviewed.
    pub(super) fn check_pending(self) -> Result<()> {
        match self {
            Self::Pending => Ok(()),
            Self::Verified | Self::Rejected => {
                Err(Error::Conflict("already_reviewed", format!("this document is {} already", self.as_str())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_reviewed_once() {
        assert!(DocumentStatus::Pending.check_pending().is_ok());
        assert!(DocumentStatus::Verified.check_pending().is_err());
        assert!(DocumentStatus::Rejected.check_pending().is_err());
    }
}
