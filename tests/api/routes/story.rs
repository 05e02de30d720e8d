//! The whole story of a marketplace, from an empty database to its reports. Everybody has an account that the service made,
//! and nothing is done by SQL.

use reqwest::Method;
use serde_json::{Value, json};
use testing::Database;
use testing::world::{PASSWORD, User, World, ZIP_CODE, customer_registration, provider_registration};

use crate::support::SERVE;
use crate::support::files::PDF;
use crate::support::stripe::{StripeAccount, deliver, event, paid};

const ADMIN_PASSWORD: &str = "the first password of the admin";

/// Logs in, as the user would.
async fn login(world: &World, email: &str, password: &str) -> User {
    session(&world.post("/auth/login", &json!({"email": email, "password": password})).await.expect(200))
}

/// Registers, as the user would.
async fn register(world: &World, registration: &Value) -> User {
    session(&world.post("/auth/register", registration).await.expect(201))
}

fn session(answer: &Value) -> User {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    User {
        id: answer["user"]["id"].as_i64().expect("an id"),
        email: text(&answer["user"]["email"]),
        token: text(&answer["accessToken"]),
        refresh_token: text(&answer["refreshToken"]),
    }
}

fn id(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("no id: {value}"))
}

/// The marketplace opens: the configuration makes the admin, who appoints an LSM and imports services.
async fn open(world: &World) -> (User, User) {
    let admin = login(world, "ada@example.com", ADMIN_PASSWORD).await;
    let lsm = json!({
        "email": "lena@example.com", "password": PASSWORD, "firstName": "Lena", "lastName": "Local",
        "phoneNumber": "(212) 555-0180", "region": "New York", "area": "Manhattan",
    });
    world.post_as(&admin, "/admin/lsm/create", &lsm).await.expect(201);
    let services = json!({"services": [
        {"name": "Plumbing", "category": "Repairs", "description": "Pipes and taps", "questions": ["Where does it leak?"]},
        {"name": "House cleaning", "category": "Cleaning"},
    ]});
    world.post_as(&admin, "/admin/services/import", &services).await.expect(200);
    let lsm = login(world, "lena@example.com", PASSWORD).await;
    (admin, lsm)
}

/// A provider registers, is approved by the region's LSM, and offers a service that an admin has added on request.
async fn hire(world: &World, admin: &User, lsm: &User) -> (User, i64, i64) {
    let provider = register(world, &provider_registration("pete@example.com")).await;
    let licence = vec![("licence.pdf", PDF.to_vec())];
    let documents = "/provider-onboarding/documents/upload";
    let document = world.upload(&provider, documents, "file", licence, &[]).await.expect(201)["id"].clone();
    let waiting = world.get_as(lsm, "/lsm/onboarding/pending").await.expect(200);
    assert_eq!(waiting[0]["readyForActivation"], false, "nobody has looked at the document: {waiting}");
    let provider_id = id(&waiting[0]["id"]);
    let path = format!("/lsm/providers/{provider_id}/documents/{document}");
    world.post_as(lsm, &path, &json!({"action": "verify"})).await.expect(200);
    let path = format!("/lsm/providers/{provider_id}/approve-onboarding");
    world.post_as(lsm, &path, &json!({})).await.expect(200);

    let request = json!({"serviceName": "Boiler care", "category": "Repairs", "description": "Yearly checks"});
    world.post_as(&provider, "/provider/request-new-service", &request).await.expect(201);
    let waiting = world.get_as(lsm, "/lsm/service-requests/pending").await.expect(200);
    let path = format!("/lsm/service-requests/{}/approve", waiting[0]["id"]);
    world.post_as(lsm, &path, &json!({})).await.expect(200);
    let waiting = world.get_as(admin, "/admin/service-requests/pending").await.expect(200);
    let path = format!("/admin/service-requests/{}/approve", waiting[0]["id"]);
    world.post_as(admin, &path, &json!({})).await.expect(200);

    let found = world.get("/homepage/search/services?query=boiler").await.expect(200);
    let service = found["data"].as_array().expect("a list").iter().find(|one| one["type"] == "service");
    let service_id = id(&service.expect("a service")["id"]);
    let search = json!({"serviceId": service_id, "zipcode": ZIP_CODE});
    let providers = world.post("/services/smart-providers", &search).await.expect(201);
    assert_eq!(providers["providers"][0]["id"], provider_id, "a requested service is linked: {providers}");
    (provider, provider_id, service_id)
}

/// A job is booked, negotiated and done. Returns its id.
async fn work(world: &World, customer: &User, provider: &User, provider_id: i64, service_id: i64) -> i64 {
    let booking = json!({
        "serviceId": service_id, "providerId": provider_id.to_string(), "customerBudget": 100, "location": "1 Main Street",
        "zipcode": ZIP_CODE, "answers": {"description": "No hot water"}, "images": [],
    });
    let booked = world.post_as(customer, "/jobs/create", &booking).await.expect(201);
    let job = id(&booked["job"]["id"]);
    let post = async |who: &User, path: &str, body: Value| world.post_as(who, path, &body).await;
    let offer = json!({"job_id": job, "proposed_price": 150.25, "notes": "With parts"});
    post(provider, "/chat/negotiation/send-offer", offer).await.expect(201);
    let accept = json!({"job_id": job, "action": "accept"});
    post(customer, "/chat/negotiation/respond", accept).await.expect(201);
    let act = format!("/customers/jobs/{job}/action");
    post(customer, &act, json!({"action": "close_deal"})).await.expect(200);
    let update = format!("/provider/jobs/{job}/update-status");
    post(provider, &update, json!({"action": "mark_complete"})).await.expect(200);
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marketplace_opens_works_is_paid_and_reports() {
    let stripe = StripeAccount::open().await;
    let stripes = stripe.settings();
    let mut settings = vec![("ADMIN_EMAIL", "ada@example.com"), ("ADMIN_PASSWORD", ADMIN_PASSWORD)];
    settings.extend(stripes.iter().map(|(name, value)| (*name, value.as_str())));
    let world = World::start_empty(SERVE, Database::create().await, &settings);
    let (admin, lsm) = open(&world).await;
    let (provider, provider_id, service_id) = hire(&world, &admin, &lsm).await;
    let customer = register(&world, &customer_registration("ann@example.com")).await;
    let job = work(&world, &customer, &provider, provider_id, service_id).await;

    // Paid online.
    let path = format!("/payments/jobs/{job}/send-invoice");
    world.post_as(&provider, &path, &json!({})).await.expect(201);
    let invoice = stripe.invoices().pop().expect("an invoice");
    assert_eq!(invoice["amount_due"], 15_025);
    deliver(&world, &event("invoice.paid", &paid(&invoice))).await;
    let seen = world.get_as(&customer, &format!("/customers/jobs/{job}")).await.expect(200);
    assert_eq!(seen["job"]["status"], "paid");

    // Reviewed, disputed and settled.
    let path = format!("/customers/jobs/{job}/feedback");
    world.post_as(&customer, &path, &json!({"rating": 4, "feedback": "Warm again"})).await.expect(200);
    let dispute = json!({"jobId": job, "description": "It drips"});
    let dispute = world.post_as(&customer, "/customers/disputes", &dispute).await.expect(201)["disputeId"].clone();
    world.post_as(&lsm, &format!("/lsm/disputes/{dispute}/join-chat"), &json!({})).await.expect(200);
    let notes = json!({"resolutionNotes": "A second visit"});
    world.post_as(&lsm, &format!("/lsm/disputes/{dispute}/resolve"), &notes).await.expect(200);

    // Everybody's figures are the same, to the cent.
    let earnings = world.get_as(&provider, "/payments/earnings").await.expect(200);
    assert_eq!((&earnings["totalEarnings"], &earnings["totalJobs"]), (&json!(150.25), &json!(1)));
    let spent = world.get_as(&customer, "/customers/dashboard").await.expect(200)["summary"].clone();
    assert_eq!((&spent["totalSpent"], &spent["pendingFeedback"]), (&json!(150.25), &json!(0)));
    let lsms = world.get_as(&lsm, "/lsm/dashboard").await.expect(200);
    assert_eq!((&lsms["jobs"]["paid"], &lsms["disputes"]["resolved"]), (&json!(1), &json!(1)));
    let of_admin = async |path: &str| world.get_as(&admin, path).await.expect(200);
    let dashboard = of_admin("/admin/dashboard").await["data"].clone();
    assert_eq!(dashboard["revenue"], json!({"total": 150.25, "today": 150.25, "last30Days": 150.25}));
    let points = of_admin("/admin/revenue?period=7days").await["data"].clone();
    let today = points.as_array().and_then(|points| points.last()).expect("points");
    assert_eq!((&today["revenue"], &today["jobs"]), (&json!(150.25), &json!(1)));
    assert_eq!(
        of_admin("/admin/reports/regions").await["data"],
        json!([{"region": "New York", "providers": 1, "activeProviders": 1, "customers": 1, "lsms": 1, "paidJobs": 1,
                "revenue": 150.25, "averageRating": 4.0}])
    );
    let done = of_admin("/admin/events").await;
    let done: Vec<_> = done["data"].as_array().expect("a list").iter().map(|event| event["action"].clone()).collect();
    assert_eq!(done, ["approve_service_request", "create_service", "create_service", "import_services", "create_lsm"]);

    // The provider is banned, and gone from the search.
    let path = format!("/admin/providers/{provider_id}/ban");
    world.post_as(&admin, &path, &json!({"reason": "Works under another name"})).await.expect(200);
    let search = json!({"serviceId": service_id, "zipcode": ZIP_CODE});
    let providers = world.post("/services/smart-providers", &search).await.expect(201);
    assert_eq!(providers["providers"], json!([]));
    world.request(Method::GET, "/provider/dashboard", Some(&provider.token), None).await.expect(401);
}
