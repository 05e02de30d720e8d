//! Disputes as values: no I/O.

use crate::types::text_enum;

text_enum! {
    /// The state of a dispute.
    DisputeStatus {
        /// Waits for the LSM.
        Open = "open",
        /// Resolved by the LSM.
        Resolved = "resolved",
    }
}
