//! The states of a request: no I/O.

use serde::Serialize;
use utoipa::ToSchema;

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

text_enum! {
    /// Who may reject a request.
    Decider {
        /// The LSM, as the first.
        LocalServiceManager = "local_service_manager",
        /// An admin, after the LSM's approval.
        Admin = "admin",
    }
}

/// What the LSM and then an admin have decided; null while they have not.
#[derive(Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Decisions {
    lsm_approved: Option<bool>,
    admin_approved: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lsm_rejection_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_rejection_reason: Option<String>,
}

impl Decisions {
    /// The decisions that led to a status. Without a name it is the LSM who rejected.
    pub(super) fn new(status: ServiceRequestStatus, rejected_by: Option<Decider>, reason: Option<String>) -> Self {
        // Clients take a rejection without a reason for a pending request.
        let reason = || Some(reason.unwrap_or_else(|| "No reason was given".to_owned()));
        match (status, rejected_by) {
            (ServiceRequestStatus::Pending, _) => Self::default(),
            (ServiceRequestStatus::LsmApproved, _) => Self { lsm_approved: Some(true), ..Self::default() },
            (ServiceRequestStatus::Approved, _) => {
                Self { lsm_approved: Some(true), admin_approved: Some(true), ..Self::default() }
            }
            (ServiceRequestStatus::Rejected, Some(Decider::Admin)) => Self {
                lsm_approved: Some(true),
                admin_approved: Some(false),
                admin_rejection_reason: reason(),
                ..Self::default()
            },
            (ServiceRequestStatus::Rejected, Some(Decider::LocalServiceManager) | None) => {
                Self { lsm_approved: Some(false), lsm_rejection_reason: reason(), ..Self::default() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn decisions_follow_from_the_status() {
        use ServiceRequestStatus::{Approved, LsmApproved, Pending, Rejected};
        let decisions = |status, by, reason: Option<&str>| {
            serde_json::to_value(Decisions::new(status, by, reason.map(str::to_owned))).unwrap()
        };
        for (status, lsm, admin) in [
            (Pending, json!(null), json!(null)),
            (LsmApproved, json!(true), json!(null)),
            (Approved, json!(true), json!(true)),
        ] {
            assert_eq!(decisions(status, None, None), json!({"lsm_approved": lsm, "admin_approved": admin}));
        }
        assert_eq!(
            decisions(Rejected, Some(Decider::Admin), Some("too deep")),
            json!({"lsm_approved": true, "admin_approved": false, "admin_rejection_reason": "too deep"})
        );
        assert_eq!(
            decisions(Rejected, None, None),
            json!({"lsm_approved": false, "admin_approved": null, "lsm_rejection_reason": "No reason was given"})
        );
    }
}
