//! A request's id and states.

use crate::{id, text_enum};

id! {
    /// A request for a service: `stm.service_requests.id`.
    ServiceRequestId(i64)
}

text_enum! {
    /// Where a request for a service is between being made and being decided.
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
