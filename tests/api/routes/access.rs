//! Who may call what. Every operation of the OpenAPI document has a row here; one without fails the test.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use testing::token::{JWT_SECRET, sign};
use testing::world::{Provider, User, booking};

use crate::support::Scene;

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

/// What the caller of somebody else's object gets, where the path or body names one.
#[derive(Clone, Copy)]
enum Others {
    /// The operation names no object, or only public ones.
    None,
    /// 404, as if it did not exist.
    NotFound,
}

/// One operation: method, path, who may call it, and somebody else's object.
type Row = (&'static str, &'static str, Who, Others);

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
    ("post", "/customers/jobs/{id}/feedback",  Who::Customer, Others::NotFound),
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
    ("get",    "/provider/reviews/{id}",         Who::Provider, Others::NotFound),
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
    ("get",  "/chat/{id}/messages",     Who::Anyone,   Others::NotFound),
    ("get",  "/chat/customer/chats",    Who::Customer, Others::None),
    ("get",  "/chat/provider/chats",    Who::Provider, Others::None),
    ("get",  "/chat/lsm/chats",         Who::Lsm,      Others::None),
    ("post", "/chat/negotiation/send-offer",           Who::Anyone, Others::NotFound),
    ("post", "/chat/negotiation/respond",              Who::Anyone, Others::NotFound),
    ("get",  "/chat/negotiation/job/{jobId}/history",  Who::Anyone, Others::NotFound),
    ("get",    "/notifications",               Who::Anyone, Others::None),
    ("get",    "/notifications/unread-count",  Who::Anyone, Others::None),
    ("patch",  "/notifications/mark-all-read", Who::Anyone, Others::None),
    ("delete", "/notifications/clear-read",    Who::Anyone, Others::None),
    ("get",    "/notifications/{id}",          Who::Anyone, Others::NotFound),
    ("delete", "/notifications/{id}",          Who::Anyone, Others::NotFound),
    ("patch",  "/notifications/{id}/read",     Who::Anyone, Others::NotFound),
    ("get",  "/customers/jobs/{id}",            Who::Customer, Others::NotFound),
    ("post", "/customers/jobs/{id}/action",     Who::Customer, Others::NotFound),
    ("get",  "/provider/jobs/{id}",             Who::Provider, Others::NotFound),
    ("post", "/provider/jobs/{id}/respond",     Who::Provider, Others::NotFound),
    ("post", "/provider/jobs/{id}/update-status", Who::Provider, Others::NotFound),
    ("get",  "/jobs/{id}/alternative-providers", Who::Customer, Others::NotFound),
    ("post", "/jobs/{id}/reassign",             Who::Customer, Others::NotFound),
    ("post", "/jobs/{id}/resend",               Who::Customer, Others::NotFound),
    ("post", "/customers/disputes",             Who::Customer, Others::NotFound),
    ("get",  "/lsm/disputes",                   Who::Lsm,      Others::None),
    ("get",  "/lsm/disputes/{id}",              Who::Lsm,      Others::NotFound),
    ("post", "/lsm/disputes/{id}/join-chat",    Who::Lsm,      Others::NotFound),
    ("post", "/lsm/disputes/{id}/resolve",      Who::Lsm,      Others::NotFound),
    ("post",   "/jobs/images/upload",                      Who::Customer, Others::None),
    ("post",   "/chat/upload-files",                       Who::Anyone,   Others::None),
    ("get",    "/provider/images",                         Who::Provider, Others::None),
    ("post",   "/provider/images/logo",                    Who::Provider, Others::None),
    ("post",   "/provider/images/banner",                  Who::Provider, Others::None),
    ("post",   "/provider/images/gallery",                 Who::Provider, Others::None),
    ("put",    "/provider/images/gallery/reorder",         Who::Provider, Others::None),
    ("delete", "/provider/images/gallery/{id}",            Who::Provider, Others::NotFound),
    ("post",   "/provider-onboarding/documents/upload",    Who::Provider, Others::None),
    ("get",    "/provider-onboarding/documents",           Who::Provider, Others::None),
    ("delete", "/provider-onboarding/documents/{id}",      Who::Provider, Others::NotFound),
    ("get",    "/lsm/providers/{id}/documents/{documentId}",   Who::Lsm,   Others::NotFound),
    ("post",   "/lsm/providers/{id}/documents/{documentId}",   Who::Lsm,   Others::NotFound),
    ("get",    "/admin/providers/{id}/documents/{documentId}", Who::Admin, Others::None),
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

/// Callers of every role, and objects that belong to none of them.
struct Callers {
    scene: Scene,
    lsm: User,
    /// Not a wildcard for other roles' operations.
    admin: User,
    /// Tokens that open nothing, each with its reason.
    refused: Vec<(&'static str, String)>,
    /// Another customer's job.
    job_of_another: i64,
    /// A review of another provider.
    review_of_another: i64,
    /// A dispute about a provider of another LSM's.
    dispute_of_another: i64,
    /// A document of a provider of another LSM's, and that provider; and a picture of its gallery.
    document_of_another: i64,
    provider_of_another: i64,
    picture_of_another: String,
    /// Another customer's chat.
    chat_of_another: String,
    /// Another provider's notification.
    notification_of_another: String,
}

impl Callers {
    async fn start() -> Self {
        let scene = Scene::start().await;
        let world = &scene.world;
        let another = world.customer().await;
        let third = world.provider("House cleaning").await;
        let booked = world.book(&another, &third).await;
        let job_of_another = booked["job"]["id"].as_i64().expect("an id");
        world
            .sql(
                "insert into stm.reviews (job_id, customer_id, provider_id, rating)
                 select id, customer_id, provider_id, 5 from stm.jobs",
            )
            .await;
        let review_of_another = world.number("select id from stm.reviews").await;
        world
            .sql(&format!(
                "insert into stm.users (email, first_name, last_name, role) values ('other-lsm@example.com', 'Lou', 'Local', 'local_service_manager');
                 insert into stm.local_service_managers (user_id, region) select id, 'Ohio' from stm.users where email = 'other-lsm@example.com';
                 update stm.providers set lsm_id = l.id from stm.local_service_managers l where l.region = 'Ohio' and providers.id = {0};
                 insert into stm.disputes (job_id, lsm_id, description) select {job_of_another}, lsm_id, 'It leaks' from stm.providers where id = {0}",
                third.id
            ))
            .await;
        let dispute_of_another = world.number("select id from stm.disputes").await;
        world
            .sql(&format!(
                "insert into stm.files (id, owner_id, purpose, state, key, name, content_type, bytes, received_bytes, sha256)
                 values (gen_random_uuid(), {0}, 'provider_document', 'attached', 'files/x', 'a.pdf', 'application/pdf', 1, 1, sha256(''));
                 insert into stm.provider_documents (provider_id, file_id, file_name, description) select {1}, id, 'a.pdf', '' from stm.files;
                 insert into stm.gallery_images (provider_id, file_id, file_name, position) select {1}, id, 'a.png', 1 from stm.files",
                third.user.id, third.id
            ))
            .await;
        let document_of_another = world.number("select id from stm.provider_documents").await;
        let picture_of_another = world.text("select id::text from stm.gallery_images").await;
        let (lsm, admin) = (world.lsm().await, world.admin().await);
        let (banned, gone) = (world.customer().await, world.customer().await);
        world
            .sql(&format!(
                "update stm.users set banned_at = now() where id = {};
                 delete from stm.customers where user_id = {1};
                 delete from stm.users where id = {1}",
                banned.id, gone.id
            ))
            .await;
        let customer = &scene.customer;
        let expired = json!({
            "sub": customer.id, "email": customer.email, "role": "customer", "typ": "access", "iat": 0, "exp": 1
        });
        let refused = vec![
            ("forged", "a.b.c".to_owned()),
            ("banned", banned.token),
            ("deleted", gone.token),
            ("expired", sign(&expired, JWT_SECRET)),
        ];
        let chat_of_another = booked["chat"]["id"].as_str().expect("an id").to_owned();
        let notification_of_another =
            world.text(&format!("select id::text from stm.notifications where recipient_id = {}", third.user.id)).await;
        Self {
            scene,
            lsm,
            admin,
            refused,
            job_of_another,
            review_of_another,
            dispute_of_another,
            document_of_another,
            provider_of_another: third.id,
            picture_of_another,
            chat_of_another,
            notification_of_another,
        }
    }

    /// A digest of every row of the database.
    async fn rows(&self) -> String {
        let sql = "select md5(string_agg(query_to_xml(format('select * from stm.%I t order by t::text', relname), true, false, '')::text, '' order by relname))
                   from pg_class where relnamespace = 'stm'::regnamespace and relkind = 'r'";
        self.scene.world.text(sql).await
    }

    async fn call(&self, (method, path, ..): &Row, token: Option<&str>) -> u16 {
        let path = match *path {
            "/services/{id}/providers" => format!("/services/{}/providers", self.scene.provider.service_id),
            dispute if dispute.starts_with("/lsm/disputes/{id}") => {
                dispute.replace("{id}", &self.dispute_of_another.to_string())
            }
            picture if picture.starts_with("/provider/images/gallery/{id}") => {
                picture.replace("{id}", &self.picture_of_another)
            }
            document if document.starts_with("/provider-onboarding/documents/{id}") => {
                document.replace("{id}", &self.document_of_another.to_string())
            }
            document if document.ends_with("{documentId}") => document
                .replace("{id}", &self.provider_of_another.to_string())
                .replace("{documentId}", &self.document_of_another.to_string()),
            job if job.contains("jobs/{id}") => job.replace("{id}", &self.job_of_another.to_string()),
            "/utils/zip/{zip}" => "/utils/zip/10001".to_owned(),
            "/provider/reviews/{id}" => format!("/provider/reviews/{}", self.review_of_another),
            "/chat/{id}/messages" => format!("/chat/{}/messages", self.chat_of_another),
            negotiation if negotiation.contains("{jobId}") => {
                negotiation.replace("{jobId}", &self.job_of_another.to_string())
            }
            of_one if of_one.starts_with("/notifications/{id}") => {
                of_one.replace("{id}", &self.notification_of_another)
            }
            fixed => fixed.to_owned(),
        };
        let body = match path.as_str() {
            "/chat/negotiation/send-offer" => Some(json!({"job_id": self.job_of_another, "proposed_price": 100})),
            "/chat/negotiation/respond" => Some(json!({"job_id": self.job_of_another, "action": "accept"})),
            "/customer/booking" | "/jobs/create" => Some(booking(&self.scene.provider)),
            feedback if feedback.ends_with("/feedback") => Some(json!({"rating": 5})),
            act if act.ends_with("/action") => Some(json!({"action": "cancel"})),
            respond if respond.ends_with("/respond") => Some(json!({"action": "accept"})),
            update if update.ends_with("/update-status") => Some(json!({"action": "mark_complete"})),
            reassign if reassign.ends_with("/reassign") => Some(json!({"newProviderId": self.scene.provider.id})),
            resolve if resolve.ends_with("/resolve") => Some(json!({"resolutionNotes": "Settled"})),
            review if review.starts_with("/lsm/providers/") => (*method == "post").then(|| json!({"action": "verify"})),
            "/customers/disputes" => Some(json!({"jobId": self.job_of_another, "description": "It leaks"})),
            "/auth/me" if *method != "get" => Some(json!({})),
            _ if matches!(*method, "post" | "put") => Some(json!({})),
            _ => None,
        };
        let method: Method = method.to_uppercase().parse().expect("a method");
        self.scene.world.request(method, &path, token, body.as_ref()).await.status.as_u16()
    }
}

#[tokio::test]
async fn every_operation_has_a_row_and_every_row_holds() {
    let callers = Callers::start().await;
    let document: Value = serde_json::from_str(&stm_backend::openapi().to_json().expect("JSON")).expect("JSON");
    let documented = operations(&document);
    let in_table: BTreeSet<_> =
        ACCESS.iter().map(|(method, path, ..)| ((*method).to_owned(), (*path).to_owned())).collect();
    let missing: Vec<_> = documented.symmetric_difference(&in_table).collect();
    assert!(missing.is_empty(), "in the document or in the access table, but not in both: {missing:?}");

    for row in ACCESS {
        let (method, path, who, others) = row;
        let place = format!("{method} {path}");
        let secured = document["paths"][path][method]["security"].as_array().is_some_and(|schemes| !schemes.is_empty());
        assert_eq!(secured, *who != Who::Public, "{place}: the document's security requirement");

        let nobody = callers.call(row, None).await;
        if *who == Who::Public {
            assert!(nobody != 401 || *path == "/auth/login", "{place} is public, but answers {nobody}");
            continue;
        }
        assert_eq!(nobody, 401, "{place} without a token");
        let before = callers.rows().await;
        for (why, token) in &callers.refused {
            assert_eq!(callers.call(row, Some(token)).await, 401, "{place} with a token that is {why}");
        }

        let Callers { scene: Scene { customer, provider: Provider { user: provider, .. }, .. }, lsm, admin, .. } =
            &callers;
        let (right_roles, wrong_roles) = match who {
            Who::Parties => (vec![customer, provider], vec![lsm, admin]),
            Who::Customer => (vec![customer], vec![provider, lsm, admin]),
            Who::Provider => (vec![provider], vec![customer, lsm, admin]),
            Who::Lsm => (vec![lsm], vec![customer, provider, admin]),
            Who::Admin => (vec![admin], vec![customer, provider, lsm]),
            Who::Anyone | Who::Public => (vec![customer, provider, lsm, admin], vec![]),
        };
        for user in wrong_roles {
            assert_eq!(callers.call(row, Some(&user.token)).await, 403, "{place} in a wrong role");
        }
        if matches!(others, Others::NotFound) {
            for user in &right_roles {
                assert_eq!(callers.call(row, Some(&user.token)).await, 404, "{place} of somebody else's object");
            }
        }
        assert_eq!(callers.rows().await, before, "{place}: a refused call has changed something");
        if matches!(others, Others::None) {
            for user in right_roles {
                let answer = callers.call(row, Some(&user.token)).await;
                assert!(!matches!(answer, 401 | 403 | 404) && answer < 500, "{place} in the right role: {answer}");
            }
        }
    }
}
