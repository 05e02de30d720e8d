//! Disputes as values: no I/O.

use crate::types::text_enum;

text_enum! {
    /// Where a dispute is.
    DisputeStatus {
        /// Waits for the LSM.
        Open = "open",
        /// Settled.
        Resolved = "resolved",
    }
}
