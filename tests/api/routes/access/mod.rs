//! Who may call what: every operation of the OpenAPI document, and every event of the AsyncAPI document, by every caller.
//! An operation or event without a row fails the test.

mod callers;
mod events;

use std::collections::BTreeSet;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use testing::world::booking;

use callers::{Caller, Callers};

/// Who may call an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Anybody, without a token.
    Public,
    /// Anybody with a token.
    Anyone,
    /// Customers and service providers.
    Parties,
    /// Customers only.
    Customer,
    /// Service providers only.
    Provider,
    /// Local service managers only.
    Lsm,
    /// Admins only.
    Admin,
}

/// The object that the operation's path or body names. For whom it is not, it does not exist.
#[derive(Clone, Copy)]
enum Others {
    /// None, or only public ones.
    None,
    /// The job between the customer and the provider.
    Job,
    /// Its chat, of which no LSM is a member yet.
    Chat,
    /// The provider's review of this job.
    Review,
    /// The dispute about it, which the region's LSM settles.
    Dispute,
    /// A notification of the provider's.
    Notification,
    /// The provider's invoice for this job.
    Invoice,
    /// The provider, as the region's LSM sees it.
    Provider,
    /// A document of the provider's, and the provider: of the region's LSM.
    Document,
    /// The same, as the provider sees it; and a picture of its gallery.
    OwnDocument,
    Picture,
    /// A service request of the provider's, which the region's LSM looks at first.
    ServiceRequest,
    /// An object of a kind that admins see whole, by the name that the path has for it.
    Of(&'static str),
}

/// What a caller gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// 401.
    Unknown,
    /// 403.
    WrongRole,
    /// 404, as if the object did not exist.
    NotTheirs,
    /// Whatever the rules of the operation say.
    Admitted,
}

impl Who {
    fn admits(self, caller: Caller) -> bool {
        let (customers, providers) =
            ([Caller::Customer, Caller::OtherCustomer], [Caller::Provider, Caller::OtherProvider]);
        match self {
            Self::Public => true,
            Self::Anyone => caller.is_known(),
            Self::Parties => customers.contains(&caller) || providers.contains(&caller),
            Self::Customer => customers.contains(&caller),
            Self::Provider => providers.contains(&caller),
            Self::Lsm => [Caller::Lsm, Caller::OtherLsm].contains(&caller),
            Self::Admin => caller == Caller::Admin,
        }
    }
}

impl Others {
    fn is_of(self, caller: Caller) -> bool {
        match self {
            Self::None | Self::Of(_) => true,
            Self::Job | Self::Chat => [Caller::Customer, Caller::Provider].contains(&caller),
            Self::Review | Self::Notification | Self::Invoice | Self::OwnDocument | Self::Picture => {
                caller == Caller::Provider
            }
            Self::Dispute | Self::Provider | Self::ServiceRequest | Self::Document => caller == Caller::Lsm,
        }
    }
}

/// One operation: method, path, who may call it, and the object that it names.
type Row = (&'static str, &'static str, Who, Others);

fn verdict((_, _, who, others): &Row, caller: Caller) -> Verdict {
    match () {
        () if *who != Who::Public && !caller.is_known() => Verdict::Unknown,
        () if !who.admits(caller) => Verdict::WrongRole,
        () if !others.is_of(caller) => Verdict::NotTheirs,
        () => Verdict::Admitted,
    }
}

#[rustfmt::skip]
const ACCESS: &[Row] = &[
    ("post", "/auth/register",          Who::Public,   Others::None),
    ("post", "/auth/login",             Who::Public,   Others::None),
    ("post", "/auth/refresh",           Who::Public,   Others::None),
    ("get",  "/auth/me",                Who::Anyone,   Others::None),
    ("patch", "/auth/me",               Who::Anyone,   Others::None),
    ("delete", "/auth/me",              Who::Parties,  Others::None),
    ("get",  "/auth/me/export",         Who::Anyone,   Others::None),
    ("get",  "/auth/profile",           Who::Anyone,   Others::None),
    ("post", "/auth/forgot-password",             Who::Public, Others::None),
    ("post", "/auth/resend-password-reset-otp",   Who::Public, Others::None),
    ("post", "/auth/verify-password-reset-otp",   Who::Public, Others::None),
    ("post", "/auth/reset-password",              Who::Public, Others::None),
    ("post", "/auth/send-email-verification-otp", Who::Public, Others::None),
    ("post", "/auth/verify-email-otp",            Who::Public, Others::None),
    ("get",  "/utils/zip/{zip}",        Who::Public,   Others::None),
    ("get",  "/customer/profile",       Who::Customer, Others::None),
    ("put",  "/customer/profile",       Who::Customer, Others::None),
    ("post", "/customer/booking",       Who::Customer, Others::None),
    ("get",  "/customers/profile",      Who::Customer, Others::None),
    ("put",  "/customers/profile",      Who::Customer, Others::None),
    ("get",  "/customer/jobs",          Who::Customer, Others::None),
    ("get",  "/customers/dashboard",    Who::Customer, Others::None),
    ("get",  "/customers/pending-feedback",    Who::Customer, Others::None),
    ("post", "/customers/request-service",     Who::Customer, Others::None),
    ("post", "/customers/jobs/{id}/feedback",  Who::Customer, Others::Job),
    ("get",    "/provider/dashboard",            Who::Provider, Others::None),
    ("get",    "/provider/profile",              Who::Provider, Others::None),
    ("put",    "/provider/profile",              Who::Provider, Others::None),
    ("post",   "/provider/availability",         Who::Provider, Others::None),
    ("post",   "/provider/mark-available",       Who::Provider, Others::None),
    ("post",   "/provider/confirm-availability", Who::Provider, Others::None),
    ("get",    "/provider/pending-jobs",         Who::Provider, Others::None),
    ("get",    "/provider/jobs",                 Who::Provider, Others::None),
    ("post",   "/provider/add-service",          Who::Provider, Others::None),
    ("post",   "/provider/request-new-service",  Who::Provider, Others::None),
    ("get",    "/provider/my-service-requests",  Who::Provider, Others::None),
    ("get",    "/provider/reviews",              Who::Provider, Others::None),
    ("get",    "/provider/reviews/stats",        Who::Provider, Others::None),
    ("get",    "/provider/reviews/{id}",         Who::Provider, Others::Review),
    ("get",    "/provider/email-templates",      Who::Provider, Others::None),
    ("put",    "/provider/email-templates",      Who::Provider, Others::None),
    ("delete", "/provider/email-templates",      Who::Provider, Others::None),
    ("get",  "/services",               Who::Public,   Others::None),
    ("get",  "/services/{id}/providers", Who::Public,  Others::None),
    ("get",  "/services/search",        Who::Public,   Others::None),
    ("post", "/services/smart-providers", Who::Public, Others::None),
    ("get",  "/homepage/search/services", Who::Public, Others::None),
    ("get",  "/homepage/search/services/category/{category}", Who::Public, Others::None),
    ("get",  "/homepage/search/locations", Who::Public, Others::None),
    ("post", "/homepage/search/providers", Who::Public, Others::None),
    ("get",  "/providers/{slug}",       Who::Public,   Others::None),
    ("post", "/jobs/create",            Who::Customer, Others::None),
    ("get",  "/chat/{id}/messages",     Who::Anyone,   Others::Chat),
    ("get",  "/chat/customer/chats",    Who::Customer, Others::None),
    ("get",  "/chat/provider/chats",    Who::Provider, Others::None),
    ("get",  "/chat/lsm/chats",         Who::Lsm,      Others::None),
    ("post", "/chat/negotiation/send-offer",           Who::Anyone, Others::Job),
    ("post", "/chat/negotiation/respond",              Who::Anyone, Others::Job),
    ("get",  "/chat/negotiation/job/{jobId}/history",  Who::Anyone, Others::Job),
    ("get",    "/notifications",               Who::Anyone, Others::None),
    ("get",    "/notifications/unread-count",  Who::Anyone, Others::None),
    ("get",    "/notifications/{id}",          Who::Anyone, Others::Notification),
    ("patch",  "/notifications/{id}/read",     Who::Anyone, Others::Notification),
    ("delete", "/notifications/{id}",          Who::Anyone, Others::Notification),
    ("patch",  "/notifications/mark-all-read", Who::Anyone, Others::None),
    ("delete", "/notifications/clear-read",    Who::Anyone, Others::None),
    ("get",  "/customers/jobs/{id}",            Who::Customer, Others::Job),
    ("post", "/customers/jobs/{id}/action",     Who::Customer, Others::Job),
    ("get",  "/provider/jobs/{id}",             Who::Provider, Others::Job),
    ("post", "/provider/jobs/{id}/respond",     Who::Provider, Others::Job),
    ("post", "/provider/jobs/{id}/update-status", Who::Provider, Others::Job),
    ("get",  "/jobs/{id}/alternative-providers", Who::Customer, Others::Job),
    ("post", "/jobs/{id}/reassign",             Who::Customer, Others::Job),
    ("post", "/jobs/{id}/resend",               Who::Customer, Others::Job),
    ("post", "/customers/disputes",             Who::Customer, Others::Job),
    ("get",  "/lsm/disputes",                   Who::Lsm,      Others::None),
    ("get",  "/lsm/disputes/{id}",              Who::Lsm,      Others::Dispute),
    ("post", "/lsm/disputes/{id}/join-chat",    Who::Lsm,      Others::Dispute),
    ("post", "/lsm/disputes/{id}/resolve",      Who::Lsm,      Others::Dispute),
    ("get",  "/lsm/dashboard",                  Who::Lsm,      Others::None),
    ("get",  "/lsm/jobs",                       Who::Lsm,      Others::None),
    ("get",  "/lsm/onboarding/pending",         Who::Lsm,      Others::None),
    ("get",  "/lsm/providers",                  Who::Lsm,      Others::None),
    ("get",  "/lsm/providers/{id}",             Who::Lsm,      Others::Provider),
    ("get",  "/lsm/providers/{id}/reviews",     Who::Lsm,      Others::Provider),
    ("get",  "/lsm/providers/{id}/reviews/stats", Who::Lsm,    Others::Provider),
    ("post", "/lsm/providers/{id}/approve-onboarding", Who::Lsm, Others::Provider),
    ("post", "/lsm/providers/{id}/reject-onboarding",  Who::Lsm, Others::Provider),
    ("post", "/lsm/providers/{id}/set-status",  Who::Lsm,      Others::Provider),
    ("post", "/lsm/providers/{id}/request-ban", Who::Lsm,      Others::Provider),
    ("get",  "/lsm/service-requests",           Who::Lsm,      Others::None),
    ("get",  "/lsm/service-requests/pending",   Who::Lsm,      Others::None),
    ("post", "/lsm/service-requests/{id}/approve", Who::Lsm,   Others::ServiceRequest),
    ("post", "/lsm/service-requests/{id}/reject",  Who::Lsm,   Others::ServiceRequest),
    ("get", "/admin/dashboard", Who::Admin, Others::None),
    ("get", "/admin/dashboard/stats", Who::Admin, Others::None),
    ("get", "/admin/activities", Who::Admin, Others::None),
    ("get", "/admin/pending-actions", Who::Admin, Others::None),
    ("get", "/admin/revenue", Who::Admin, Others::None),
    ("get", "/admin/jobs-distribution", Who::Admin, Others::None),
    ("get", "/admin/reports/regions", Who::Admin, Others::None),
    ("get", "/admin/settings", Who::Admin, Others::None),
    ("put", "/admin/settings", Who::Admin, Others::None),
    ("get", "/admin/events", Who::Admin, Others::None),
    ("get", "/admin/services", Who::Admin, Others::None),
    ("put", "/admin/services/{id}", Who::Admin, Others::Of("services")),
    ("post", "/admin/services/import", Who::Admin, Others::None),
    ("get", "/admin/service-requests/pending", Who::Admin, Others::None),
    ("post", "/admin/service-requests/{id}/approve", Who::Admin, Others::Of("service-requests")),
    ("post", "/admin/service-requests/{id}/reject", Who::Admin, Others::Of("service-requests")),
    ("get", "/admin/lsms", Who::Admin, Others::None),
    ("get", "/admin/lsms/{id}", Who::Admin, Others::Of("lsms")),
    ("post", "/admin/lsm/create", Who::Admin, Others::None),
    ("put", "/admin/lsms/{id}", Who::Admin, Others::Of("lsms")),
    ("post", "/admin/lsms/{id}/replace", Who::Admin, Others::Of("lsms")),
    ("delete", "/admin/lsms/{id}", Who::Admin, Others::Of("lsms")),
    ("get", "/admin/providers", Who::Admin, Others::None),
    ("get", "/admin/providers/{id}", Who::Admin, Others::Of("providers")),
    ("get", "/admin/customers", Who::Admin, Others::None),
    ("get", "/admin/customers/{id}", Who::Admin, Others::Of("customers")),
    ("post", "/admin/customers/{id}/ban", Who::Admin, Others::Of("customers")),
    ("post", "/admin/customers/{id}/unban", Who::Admin, Others::Of("customers")),
    ("get", "/admin/disputes", Who::Admin, Others::None),
    ("get", "/admin/disputes/{id}", Who::Admin, Others::Of("disputes")),
    ("get", "/admin/jobs", Who::Admin, Others::None),
    ("get", "/admin/reviews", Who::Admin, Others::None),
    ("get", "/admin/reviews/stats", Who::Admin, Others::None),
    ("get", "/admin/reviews/{id}", Who::Admin, Others::Of("reviews")),
    ("delete", "/admin/reviews/{id}", Who::Admin, Others::Of("reviews")),
    ("post", "/admin/availability-reminders", Who::Admin, Others::None),
    ("post", "/admin/test/send-availability-reminders", Who::Admin, Others::None),
    ("delete", "/admin/services/{id}", Who::Admin, Others::Of("services")),
    ("get", "/admin/ban-requests", Who::Admin, Others::None),
    ("post", "/admin/ban-requests/{id}/approve", Who::Admin, Others::Of("ban-requests")),
    ("post", "/admin/ban-requests/{id}/reject", Who::Admin, Others::Of("ban-requests")),
    ("post", "/admin/providers/status", Who::Admin, Others::None),
    ("post", "/admin/providers/{id}/ban", Who::Admin, Others::Of("providers")),
    ("post", "/admin/providers/{id}/unban", Who::Admin, Others::Of("providers")),
    ("get",  "/payments/earnings",                     Who::Provider, Others::None),
    ("get",  "/payments/provider/invoices",            Who::Provider, Others::None),
    ("get",  "/payments/provider/invoices/{id}",       Who::Provider, Others::Invoice),
    ("post", "/payments/jobs/{jobId}/send-invoice",    Who::Provider, Others::Job),
    ("post", "/payments/jobs/{jobId}/resend-invoice",  Who::Provider, Others::Job),
    ("get",  "/payments/jobs/{jobId}/invoice",         Who::Anyone,   Others::Job),
    ("post", "/payments/stripe/webhook",               Who::Public,   Others::None),
    ("post",   "/jobs/images/upload",                      Who::Customer, Others::None),
    ("post",   "/chat/upload-files",                       Who::Anyone,   Others::None),
    ("get",    "/provider/images",                         Who::Provider, Others::None),
    ("post",   "/provider/images/logo",                    Who::Provider, Others::None),
    ("post",   "/provider/images/banner",                  Who::Provider, Others::None),
    ("post",   "/provider/images/gallery",                 Who::Provider, Others::None),
    ("put",    "/provider/images/gallery/reorder",         Who::Provider, Others::None),
    ("delete", "/provider/images/gallery/{id}",            Who::Provider, Others::Picture),
    ("post",   "/provider-onboarding/documents/upload",    Who::Provider, Others::None),
    ("get",    "/provider-onboarding/documents",           Who::Provider, Others::None),
    ("get",    "/lsm/providers/{id}/documents/{documentId}",   Who::Lsm,   Others::Document),
    ("post",   "/lsm/providers/{id}/documents/{documentId}",   Who::Lsm,   Others::Document),
    ("get",    "/admin/providers/{id}/documents/{documentId}", Who::Admin, Others::Of("documents")),
    ("delete", "/provider-onboarding/documents/{id}",      Who::Provider, Others::OwnDocument),
    ("get",    "/files/{id}/{grant}/{signature}/{name}",   Who::Public,   Others::None),
    ("get",  "/health",                 Who::Public,   Others::None),
    ("get",  "/livez",                  Who::Public,   Others::None),
    ("get",  "/readyz",                 Who::Public,   Others::None),
    // Last: it ends the logins of the callers.
    ("post", "/auth/logout",            Who::Anyone,   Others::None),
];

/// The operations of the document.
fn operations(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().expect("paths");
    let of_path = |(path, methods): (&String, &Value)| {
        methods.as_object().expect("methods").keys().map(|method| (method.clone(), path.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

/// Calls an operation with its object, and a body that its rules would accept.
async fn call(callers: &Callers, (method, path, _, others): &Row, caller: Caller) -> u16 {
    let id = match others {
        Others::None => callers.scene.provider.service_id.to_string(),
        Others::Job => callers.job.to_string(),
        Others::Chat => callers.chat.clone(),
        Others::Review => callers.review.to_string(),
        Others::Dispute => callers.dispute.to_string(),
        Others::Notification => callers.notification.clone(),
        Others::Invoice => callers.invoice.to_string(),
        Others::Provider | Others::Document => callers.scene.provider.id.to_string(),
        Others::OwnDocument => callers.document.to_string(),
        Others::Picture => callers.picture.clone(),
        Others::ServiceRequest => callers.service_request.to_string(),
        Others::Of(kind) => callers.seen_by_admins[kind].to_string(),
    };
    let path = path.replace("{id}", &id).replace("{jobId}", &id).replace("{zip}", "10001");
    let path = path.replace("{documentId}", &callers.document.to_string());
    let body = match path.as_str() {
        "/chat/negotiation/send-offer" => Some(json!({"job_id": callers.job, "proposed_price": 100})),
        "/chat/negotiation/respond" => Some(json!({"job_id": callers.job, "action": "accept"})),
        "/customer/booking" | "/jobs/create" => Some(booking(&callers.scene.provider)),
        feedback if feedback.ends_with("/feedback") => Some(json!({"rating": 5})),
        act if act.ends_with("/action") => Some(json!({"action": "cancel"})),
        respond if respond.ends_with("/respond") => Some(json!({"action": "accept"})),
        update if update.ends_with("/update-status") => Some(json!({"action": "mark_complete"})),
        reassign if reassign.ends_with("/reassign") => Some(json!({"newProviderId": callers.other_provider.id})),
        resolve if resolve.ends_with("/resolve") => Some(json!({"resolutionNotes": "Settled"})),
        review if review.contains("/documents/") && *method == "post" => Some(json!({"action": "verify"})),
        lsm if lsm.starts_with("/lsm/") && *method == "post" => {
            Some(json!({"reason": "A good reason", "status": "inactive"}))
        }
        "/customers/disputes" => Some(json!({"jobId": callers.job, "description": "It leaks"})),
        "/auth/me" if *method != "get" => Some(json!({})),
        _ if matches!(*method, "post" | "put") => Some(json!({})),
        _ => None,
    };
    let method: Method = method.to_uppercase().parse().expect("a method");
    callers.scene.world.request(method, &path, callers.token(caller), body.as_ref()).await.status.as_u16()
}

#[tokio::test]
async fn every_operation_has_a_row_and_every_row_holds_for_every_caller() {
    let callers = Callers::start().await;
    let document: Value = serde_json::from_str(&stm_backend::openapi().to_json().expect("JSON")).expect("JSON");
    let documented = operations(&document);
    let in_table: BTreeSet<_> =
        ACCESS.iter().map(|(method, path, ..)| ((*method).to_owned(), (*path).to_owned())).collect();
    let missing: Vec<_> = documented.symmetric_difference(&in_table).collect();
    assert!(missing.is_empty(), "in the document or in the access table, but not in both: {missing:?}");

    let mut before = callers.rows(&[]).await;
    for row in ACCESS {
        let (method, path, who, _) = row;
        let place = format!("{method} {path}");
        let secured = document["paths"][path][method]["security"].as_array().is_some_and(|schemes| !schemes.is_empty());
        assert_eq!(secured, *who != Who::Public, "{place}: the document's security requirement");

        let (admitted, refused): (Vec<_>, Vec<_>) =
            Caller::ALL.into_iter().partition(|caller| verdict(row, *caller) == Verdict::Admitted);
        let answers = join_all(refused.iter().map(|caller| call(&callers, row, *caller))).await;
        for (caller, answer) in refused.into_iter().zip(answers) {
            let expected = match verdict(row, caller) {
                Verdict::Unknown => 401,
                Verdict::WrongRole => 403,
                Verdict::NotTheirs => 404,
                Verdict::Admitted => unreachable!("refused"),
            };
            assert_eq!(answer, expected, "{place} by {caller:?}");
        }
        let after = callers.rows(&[]).await;
        assert_eq!(after, before, "{place}: a refused call has changed something");
        for caller in admitted {
            let answer = call(&callers, row, caller).await;
            // Of public ones only a login, and a page that is not there, answer so.
            let is_refusal = match who {
                Who::Public => matches!(answer, 401 | 403) && *path != "/auth/login",
                _ => matches!(answer, 401 | 403 | 404),
            };
            assert!(!is_refusal && answer < 500, "{place} by {caller:?}: {answer}");
        }
        before = callers.rows(&[]).await;
    }
}
