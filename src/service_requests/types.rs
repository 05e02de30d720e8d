//! The states of a request.

use crate::types::text_enum;

text_enum! {
    /// The status of a request for a service.
    ServiceRequestStatus {
        /// Waits for the LSM.
        Pending = "pending",
        /// The LSM is for it; waits for an admin.
        LsmApproved = "lsm_approved",
        /// In the catalogue.
        Approved = "approved",
        /// Turned down, with a reason.
        Rejected = "rejected",
    }
}
