//! Disputes as values: no I/O.

use crate::{id, text_enum};

id! {
    /// A dispute: `stm.disputes.id`.
    DisputeId(i64)
}

text_enum! {
    /// Where a dispute is.
    DisputeStatus {
        /// Waits for the LSM.
        Open = "open",
        /// Settled.
        Resolved = "resolved",
    }
}
