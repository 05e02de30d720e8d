//! What admins do, as values: no I/O.

use serde_json::Value;

use crate::types::{UserId, text_enum};

text_enum! {
    /// Something that an admin has done.
    AdminAction {
        UpdateSettings = "update_settings",
        UpdateService = "update_service",
        DeleteService = "delete_service",
        ImportServices = "import_services",
        ApproveServiceRequest = "approve_service_request",
        RejectServiceRequest = "reject_service_request",
        CreateLsm = "create_lsm",
        UpdateLsm = "update_lsm",
        ReplaceLsm = "replace_lsm",
        DeleteLsm = "delete_lsm",
        SetProviderStatus = "set_provider_status",
        ApproveBanRequest = "approve_ban_request",
        RejectBanRequest = "reject_ban_request",
        BanCustomer = "ban_customer",
        UnbanCustomer = "unban_customer",
        DeleteReview = "delete_review",
        SendAvailabilityReminders = "send_availability_reminders",
    }
}

text_enum! {
    /// What was changed.
    AdminSubject {
        Settings = "settings",
        Service = "service",
        ServiceRequest = "service_request",
        Lsm = "lsm",
        Provider = "provider",
        BanRequest = "ban_request",
        Customer = "customer",
        Review = "review",
    }
}

/// A record of what an admin does.
#[derive(Debug)]
pub(crate) struct AdminEvent {
    pub actor: UserId,
    pub action: AdminAction,
    pub subject: AdminSubject,
    /// `None` if there is only one, or they are many.
    pub subject_id: Option<i64>,
    /// What was there.
    pub before: Option<Value>,
    /// What is there now.
    pub after: Option<Value>,
}
