//! An LSM's pages: its providers' life, their jobs and reviews, requests for services.

mod races;

use std::ops::Deref;

use serde_json::{Value, json};
use testing::world::{Answer, PASSWORD, User, provider_registration, unique_email};

use crate::support::{Scene, ids};

/// A scene with the LSMs of two regions; the scene's provider belongs to the first.
struct Regions {
    scene: Scene,
    lsm: User,
    other: User,
}

impl Deref for Regions {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.scene
    }
}

impl Regions {
    async fn start() -> Self {
        let scene = Scene::start().await;
        scene
            .world
            .sql(
                "insert into stm.users (email, first_name, last_name, role) values ('ohio@example.com', 'Olga', 'Ohio', 'local_service_manager');
                 insert into stm.local_service_managers (user_id, region) select id, 'Ohio' from stm.users where email = 'ohio@example.com'",
            )
            .await;
        let id = scene.world.number("select id from stm.users where email = 'ohio@example.com'").await;
        let lifetime = std::time::Duration::from_secs(600);
        let token = testing::token::access_token(id, "ohio@example.com", "local_service_manager", lifetime);
        let other = User { id, token, email: "ohio@example.com".into(), refresh_token: String::new() };
        Self { lsm: scene.world.lsm().await, other, scene }
    }

    async fn get(&self, path: &str) -> Value {
        self.world.get_as(&self.lsm, path).await.expect(200)
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.world.post_as(&self.lsm, path, body).await
    }

    /// Registers a provider of the first region, who waits for the LSM. Returns its id and its user.
    async fn pending(&self) -> (i64, User) {
        let email = unique_email("pending");
        let session = self.world.post("/auth/register", &provider_registration(&email)).await.expect(201);
        let text = |field: &str| session[field].as_str().expect("a text").to_owned();
        let id = session["user"]["id"].as_i64().expect("an id");
        let user = User { id, email, token: text("accessToken"), refresh_token: text("refreshToken") };
        (self.world.number(&format!("select id from stm.providers where user_id = {id}")).await, user)
    }

    async fn status(&self, provider: i64) -> String {
        self.world.text(&format!("select status from stm.providers where id = {provider}")).await
    }

    /// What was done with a provider: `pending approve active, …`.
    async fn events(&self, provider: i64) -> String {
        let sql = format!(
            "select coalesce(string_agg(from_status || ' ' || action || ' ' || to_status, ', ' order by id), '')
             from stm.provider_events where provider_id = {provider}"
        );
        self.world.text(&sql).await
    }

    async fn emails(&self, user: &User) -> i64 {
        self.world.number(&format!("select count(*) from stm.emails where user_id = {}", user.id)).await
    }
}

#[tokio::test]
async fn a_provider_is_approved_or_rejected_once() {
    let regions = Regions::start().await;
    let (good, good_user) = regions.pending().await;
    let (bad, bad_user) = regions.pending().await;
    let waiting = regions.get("/lsm/onboarding/pending").await;
    assert_eq!(ids(&waiting), [good, bad], "the oldest first");
    let first = &waiting[0];
    assert_eq!(
        (&first["businessName"], &first["user"]["name"], &first["user"]["phone"], &first["readyForActivation"]),
        (&json!("Pete's Pipes"), &json!("Pete Pipes"), &json!("+12125550124"), &json!(false))
    );
    assert_eq!(first["serviceAreas"], json!(["10001", "10002"]));
    assert_eq!(first["documents"], json!({"total": 0, "verified": 0, "pending": 0, "rejected": 0, "list": []}));

    let approve = format!("/lsm/providers/{good}/approve-onboarding");
    assert_eq!(regions.post(&approve, &json!({})).await.expect(409)["code"], "documents_not_verified");
    regions.world.verified_document(good).await;
    assert_eq!(regions.get("/lsm/onboarding/pending").await[0]["readyForActivation"], true);
    assert!(regions.post(&approve, &json!({})).await.expect(200)["message"].is_string());
    let again = regions.post(&approve, &json!({})).await.expect(409);
    assert_eq!(again["code"], "wrong_state");
    assert_eq!(
        again["message"],
        "you cannot approve: the provider is active. Possible for you now: deactivate, deactivate by force"
    );
    let reject = format!("/lsm/providers/{bad}/reject-onboarding");
    for reason in [json!(null), json!("too short"), json!("          "), json!("x".repeat(1001))] {
        let refused = regions.post(&reject, &json!({"reason": reason})).await.expect(400);
        assert_eq!(refused["errors"][0]["field"], "reason");
    }
    // The client counts characters before it trims.
    regions.post(&reject, &json!({"reason": "No licence "})).await.expect(200);
    assert_eq!((regions.status(good).await, regions.status(bad).await), ("active".into(), "rejected".into()));
    assert_eq!(regions.events(good).await, "pending approve active");
    assert_eq!(regions.events(bad).await, "pending reject rejected");
    let profile = regions.world.get_as(&bad_user, "/provider/profile").await.expect(200);
    assert_eq!(profile["status"]["rejectionReason"], "No licence");
    assert_eq!(regions.get("/lsm/onboarding/pending").await, json!([]));
    for (user, title) in [(&good_user, "Welcome to STM"), (&bad_user, "Your registration was rejected")] {
        assert_eq!(regions.notified(user).await.last().map(String::as_str), Some(title));
        assert_eq!(regions.emails(user).await, 1, "{title}");
    }
    let details = regions.get(&format!("/lsm/providers/{good}")).await;
    assert!(details["provider"]["approvedAt"].is_string(), "{details}");
}

#[tokio::test]
async fn an_lsm_takes_a_provider_out_and_back() {
    let regions = Regions::start().await;
    let (id, user) = (regions.provider.id, regions.provider.user.clone());
    let (job, _) = regions.new_job().await;
    let path = format!("/lsm/providers/{id}/set-status");
    for bad in [json!({}), json!({"status": "banned"}), json!({"status": null})] {
        assert_eq!(regions.post(&path, &bad).await.expect(400)["errors"][0]["field"], "status");
    }
    let busy = regions.post(&path, &json!({"status": "inactive", "force": false})).await.expect(409);
    assert_eq!(busy["code"], "open_jobs");
    let forced = json!({"status": "inactive", "force": true, "reason": "Two complaints"});
    regions.post(&path, &forced).await.expect(200);
    assert_eq!(regions.post(&path, &forced).await.expect(409)["code"], "wrong_state");
    assert_eq!(regions.notified(&user).await.last().map(String::as_str), Some("You were deactivated"));
    assert_eq!(regions.notified(&regions.customer).await, ["Your provider is inactive"]);
    assert_eq!(regions.emails(&user).await, 1);
    // The job stays, and its provider can still answer it.
    let accept = json!({"action": "accept"});
    regions.provider_posts(&format!("/provider/jobs/{job}/respond"), &accept).await.expect(200);
    let other = regions.world.customer().await;
    let booking = testing::world::booking(&regions.provider);
    let refused = regions.world.post_as(&other, "/customer/booking", &booking).await.expect(400);
    assert_eq!(refused["code"], "provider_not_active");
    regions.post(&path, &json!({"status": "active"})).await.expect(200);
    regions.world.book(&other, &regions.provider).await;
    regions.world.sql("update stm.jobs set status = 'cancelled'").await;
    regions.post(&path, &json!({"status": "inactive", "forceDeactivate": "false"})).await.expect(200);
    // The provider itself: its LSM is notified.
    regions.provider_posts("/provider/availability", &json!({"status": "active"})).await.expect(200);
    assert_eq!(regions.notified(&regions.lsm).await.last().map(String::as_str), Some("Provider active"));
    assert_eq!(
        regions.events(id).await,
        "active force_deactivate inactive, inactive activate active, active deactivate inactive, \
         inactive activate active"
    );
}

#[tokio::test]
async fn a_closed_account_has_no_way_back() {
    let regions = Regions::start().await;
    let (id, user) = regions.pending().await;
    let password = json!({"password": PASSWORD});
    let closed = regions.world.request(reqwest::Method::DELETE, "/auth/me", Some(&user.token), Some(&password)).await;
    closed.expect(200);
    assert_eq!(regions.events(id).await, "pending close inactive");
    assert_eq!(regions.notified(&regions.lsm).await.last().map(String::as_str), Some("Provider gone"));
    let refused =
        regions.post(&format!("/lsm/providers/{id}/set-status"), &json!({"status": "active"})).await.expect(409);
    assert_eq!(refused["message"], "you cannot activate: the provider is closed. Possible for you now: nothing");
}

#[tokio::test]
async fn a_ban_is_asked_for_once() {
    let regions = Regions::start().await;
    let admin = regions.world.admin().await;
    let path = format!("/lsm/providers/{}/request-ban", regions.provider.id);
    assert_eq!(regions.post(&path, &json!({"reason": " "})).await.expect(400)["errors"][0]["field"], "reason");
    let asked = regions.post(&path, &json!({"reason": "Repeated complaints"})).await.expect(200);
    assert!(asked["requestId"].is_i64() && asked["message"].is_string(), "{asked}");
    assert_eq!(regions.post(&path, &json!({"reason": "Again"})).await.expect(409)["code"], "ban_requested");
    assert_eq!(regions.notified(&admin).await, ["Ban requested"]);
    let details = regions.get(&format!("/lsm/providers/{}", regions.provider.id)).await;
    assert_eq!(
        (&details["provider"]["banRequested"], &details["provider"]["status"]),
        (&json!(true), &json!("active"))
    );
    let (pending, _) = regions.pending().await;
    let refused =
        regions.post(&format!("/lsm/providers/{pending}/request-ban"), &json!({"reason": "Why not"})).await.expect(409);
    assert_eq!(refused["code"], "wrong_state");
}

#[tokio::test]
async fn another_region_does_not_exist() {
    let regions = Regions::start().await;
    let (pending, pending_user) = regions.pending().await;
    regions.new_job().await;
    let request = json!({"serviceName": "Roof wash", "category": "Cleaning", "description": "Tiled roofs"});
    let requested = regions.provider_posts("/provider/request-new-service", &request).await.expect(201);
    let (active, request) = (regions.provider.id, &requested["id"]);
    for path in [
        format!("/lsm/providers/{active}"),
        format!("/lsm/providers/{active}/reviews"),
        format!("/lsm/providers/{active}/reviews/stats"),
    ] {
        regions.world.get_as(&regions.other, &path).await.expect(404);
        regions.get(&path).await;
    }
    let reason = json!({"reason": "A good reason", "status": "inactive", "force": true});
    for path in [
        format!("/lsm/providers/{pending}/approve-onboarding"),
        format!("/lsm/providers/{pending}/reject-onboarding"),
        format!("/lsm/providers/{active}/set-status"),
        format!("/lsm/providers/{active}/request-ban"),
        format!("/lsm/service-requests/{request}/approve"),
        format!("/lsm/service-requests/{request}/reject"),
    ] {
        regions.world.post_as(&regions.other, &path, &reason).await.expect(404);
        let stranger = regions.world.post_as(&pending_user, &path, &reason).await.expect(403);
        assert_eq!(stranger["code"], "wrong_role");
    }
    assert_eq!((regions.status(pending).await, regions.status(active).await), ("pending".into(), "active".into()));
    let of_other = async |path: &str| regions.world.get_as(&regions.other, path).await.expect(200);
    assert_eq!(of_other("/lsm/providers").await["providers"], json!([]));
    assert_eq!(of_other("/lsm/onboarding/pending").await, json!([]));
    assert_eq!(of_other("/lsm/service-requests/pending").await, json!([]));
    for path in ["/lsm/jobs".to_owned(), format!("/lsm/jobs?providerId={active}"), "/lsm/service-requests".to_owned()] {
        assert_eq!(of_other(&path).await["data"], json!([]), "{path}");
    }
    let dashboard = of_other("/lsm/dashboard").await;
    assert_eq!((&dashboard["region"], &dashboard["summary"]["totalJobs"]), (&json!("Ohio"), &json!(0)));

    // An LSM who serves nobody any more sees nothing either.
    regions.world.sql("update stm.local_service_managers set status = 'inactive'").await;
    regions.world.get_as(&regions.lsm, "/lsm/dashboard").await.expect(404);
    regions.world.get_as(&regions.lsm, &format!("/lsm/providers/{active}")).await.expect(404);
    assert_eq!(regions.get("/lsm/providers").await["providers"], json!([]));
    assert_eq!(regions.get("/lsm/jobs").await["summary"], json!({"totalJobs": 0, "totalValue": 0}));
}

#[tokio::test]
async fn the_lists_filter_and_page() {
    let regions = Regions::start().await;
    let (pending, _) = regions.pending().await;
    let (first, _) = regions.new_job().await;
    regions
        .world
        .sql("update stm.jobs set status = 'completed', completed_at = now(), created_at = '2026-03-01T12:00:00Z'")
        .await;
    regions.world.sql("update stm.jobs set status = 'paid'").await;
    let (second, _) = regions.new_job().await;

    let jobs = regions.get("/lsm/jobs").await;
    assert_eq!(ids(&jobs["data"]), [second, first]);
    assert_eq!(jobs["summary"], json!({"totalJobs": 2, "totalValue": 241}));
    assert_eq!(jobs["pagination"], json!({"total": 2, "page": 1, "limit": 20, "totalPages": 1}));
    let newest = &jobs["data"][0];
    assert_eq!(
        (&newest["customer"], &newest["provider"], &newest["service"], &newest["price"]),
        (&json!("Ann Archer"), &json!("Pete's Pipes"), &json!("Plumbing"), &json!(120.5))
    );
    let id = regions.provider.id;
    for (query, expected) in [
        ("status=paid".to_owned(), vec![first]),
        ("status=new,paid".to_owned(), vec![second, first]),
        (format!("providerId={id}&status=new"), vec![second]),
        (format!("providerId={pending}"), vec![]),
        ("fromDate=2026-03-01&toDate=2026-03-01".to_owned(), vec![first]),
        ("toDate=2026-02-28".to_owned(), vec![]),
        ("page=2&limit=1".to_owned(), vec![first]),
        ("page=9&limit=1".to_owned(), vec![]),
    ] {
        let found = regions.get(&format!("/lsm/jobs?{query}")).await;
        assert_eq!(ids(&found["data"]), expected, "{query}");
    }
    for (query, field) in [("status=lost", "status"), ("fromDate=soon", "fromDate"), ("page=0", "page")] {
        let refused = regions.world.get_as(&regions.lsm, &format!("/lsm/jobs?{query}")).await.expect(400);
        assert_eq!(refused["errors"][0]["field"], field);
    }

    assert_eq!(ids(&regions.get("/lsm/providers").await["providers"]), [pending, id]);
    assert_eq!(ids(&regions.get("/lsm/providers?status=active").await["providers"]), [id]);
    assert_eq!(ids(&regions.get("/lsm/providers?page=2&limit=1").await["providers"]), [id]);
    let active = &regions.get("/lsm/providers?status=active").await["providers"][0];
    assert_eq!(
        (&active["jobCount"], &active["services"], &active["user"]["first_name"], &active["documentCount"]),
        (&json!(2), &json!([{"name": "Plumbing"}]), &json!("Pete"), &json!(0))
    );
    regions.world.get_as(&regions.lsm, "/lsm/providers?status=lost").await.expect(400);

    let dashboard = regions.get("/lsm/dashboard").await;
    assert_eq!(
        dashboard,
        json!({
            "region": "New York", "area": null,
            "summary": {"totalProviders": 2, "totalJobs": 2, "pendingServiceRequests": 0, "pendingDisputes": 0},
            "providers": {"pending": 1, "active": 1, "inactive": 0, "rejected": 0, "banned": 0},
            "jobs": {"new": 1, "in_progress": 0, "completed": 0, "paid": 1, "cancelled": 0, "rejected_by_sp": 0},
            "disputes": {"pending": 0, "resolved": 0},
            "recentActivity": {"newProviders24h": 2, "completedJobs24h": 1, "documentsVerified24h": 0},
        })
    );
}

#[tokio::test]
async fn one_provider_with_its_jobs_and_reviews() {
    let regions = Regions::start().await;
    let (job, _) = regions.new_job().await;
    regions.world.sql("update stm.jobs set status = 'paid', completed_at = now()").await;
    let feedback = json!({"rating": 2, "feedback": "Late", "punctualityRating": 1, "responseTime": 30});
    regions.customer_posts(&format!("/customers/jobs/{job}/feedback"), &feedback).await.expect(200);
    let login = json!({"email": regions.provider.user.email, "password": PASSWORD});
    regions.world.post("/auth/login", &login).await.expect(200);

    let path = format!("/lsm/providers/{}", regions.provider.id);
    let seen = regions.get(&path).await;
    assert_eq!(
        seen["statistics"],
        json!({"totalJobs": 1, "completedJobs": 1, "cancelledJobs": 0, "activeJobs": 0, "averageRating": 2.0, "totalReviews": 1})
    );
    assert!(seen["provider"]["user"]["lastLogin"].is_string(), "{seen}");
    assert_eq!(seen["recentJobs"][0]["id"], job);
    assert_eq!(seen["recentFeedback"][0]["feedback"], "Late");
    assert_eq!(seen["services"][0]["name"], "Plumbing");

    let reviews = regions.get(&format!("{path}/reviews")).await;
    assert_eq!(
        (&reviews["data"][0]["customer"]["name"], &reviews["pagination"]["total"]),
        (&json!("Ann Archer"), &json!(1))
    );
    let five = regions.get(&format!("{path}/reviews?minRating=5&maxRating=5")).await;
    assert_eq!(five["data"], json!([]));
    regions.world.get_as(&regions.lsm, &format!("{path}/reviews?minRating=6")).await.expect(400);
    let stats = regions.get(&format!("{path}/reviews/stats")).await;
    assert_eq!(
        (&stats["provider"]["businessName"], &stats["ratingBreakdown"]["2"], &stats["averagePunctuality"]),
        (&json!("Pete's Pipes"), &json!(1), &json!(1.0))
    );
}

#[tokio::test]
async fn requests_for_services_are_decided_once() {
    let regions = Regions::start().await;
    let admin = regions.world.admin().await;
    let request = json!({"serviceName": "Roof wash", "category": "Cleaning", "description": "Tiled roofs"});
    let wanted = regions.provider_posts("/provider/request-new-service", &request).await.expect(201)["id"].clone();
    let of_customer = json!({"keyword": "Magic", "description": "Any", "region": "NY", "zipcode": "10001"});
    let asked = regions.customer_posts("/customers/request-service", &of_customer).await.expect(200);
    let magic = asked["requestId"].clone();
    let pending = regions.get("/lsm/service-requests/pending").await;
    assert_eq!(pending.as_array().map(Vec::len), Some(2));
    assert_eq!(
        (&pending[0]["provider"]["businessName"], &pending[0]["category"], &pending[1]["provider"]["businessName"]),
        (&json!(null), &json!(""), &json!("Pete's Pipes"))
    );

    regions.post(&format!("/lsm/service-requests/{wanted}/approve"), &json!({})).await.expect(200);
    let reject = format!("/lsm/service-requests/{magic}/reject");
    assert_eq!(regions.post(&reject, &json!({"reason": " "})).await.expect(400)["errors"][0]["field"], "reason");
    regions.post(&reject, &json!({"reason": "No wands"})).await.expect(200);
    for decide in ["approve", "reject"] {
        for id in [&wanted, &magic] {
            let path = format!("/lsm/service-requests/{id}/{decide}");
            assert_eq!(regions.post(&path, &json!({"reason": "Again"})).await.expect(409)["code"], "wrong_state");
        }
        let unknown = format!("/lsm/service-requests/999999/{decide}");
        regions.post(&unknown, &json!({"reason": "Again"})).await.expect(404);
    }
    for (status, expected) in [
        ("pending", vec![]),
        ("under_review", vec![&wanted]),
        ("approved", vec![]),
        ("rejected", vec![&magic]),
        ("", vec![&magic, &wanted]),
    ] {
        let found = regions.get(&format!("/lsm/service-requests?status={status}")).await;
        let found: Vec<_> = found["data"].as_array().expect("a list").iter().map(|one| one["id"].clone()).collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{status}");
    }
    regions.world.get_as(&regions.lsm, "/lsm/service-requests?status=lost").await.expect(400);
    let rejected = &regions.get("/lsm/service-requests?status=rejected").await["data"][0];
    assert_eq!((&rejected["lsmApproved"], &rejected["rejectionReason"]), (&json!(false), &json!("No wands")));
    assert!(rejected["lsmReviewedAt"].is_string() && rejected["adminReviewedAt"].is_null(), "{rejected}");
    assert_eq!(regions.notified(&admin).await, ["New service request"]);
    assert_eq!(regions.notified(&regions.customer).await, ["Service request rejected"]);
    let mine = regions.world.get_as(&regions.provider.user, "/provider/my-service-requests").await.expect(200);
    assert_eq!(mine[0]["lsm_approved"], true);
}

#[tokio::test]
async fn an_unpaid_job_of_a_banned_provider_blocks_nobody() {
    let regions = Regions::start().await;
    let other = regions.world.provider("Plumbing").await;
    regions.new_job().await;
    regions.world.sql("update stm.jobs set status = 'completed', completed_at = now()").await;
    let booking = testing::world::booking(&other);
    regions.customer_posts("/customer/booking", &booking).await.expect(409);
    regions.world.sql(&format!("update stm.providers set status = 'banned' where id = {}", regions.provider.id)).await;
    regions.customer_posts("/customer/booking", &booking).await.expect(201);
}
