//! Bans of providers, one by one, by request and in batches.

use serde_json::{Value, json};
use testing::world::{PASSWORD, User};

use super::Office;

impl Office {
    async fn provider_status_of(&self, id: i64) -> String {
        self.world.text(&format!("select status from stm.providers where id = {id}")).await
    }

    /// A request by the LSM to ban the provider.
    async fn ban_request(&self, lsm: &User) -> i64 {
        let sql = format!(
            "with request as (
                 insert into stm.ban_requests (provider_id, requested_by, reason) values ({}, {}, 'Fraud') returning id)
             select id from request",
            self.provider.id, lsm.id
        );
        self.world.number(&sql).await
    }
}

fn says(answer: &Value, text: &str) {
    assert!(answer["message"].as_str().is_some_and(|why| why.contains(text)), "{text}: {answer}");
}

#[tokio::test]
async fn a_provider_is_banned_and_unbanned() {
    let office = Office::start().await;
    let id = office.provider.id;
    let path = format!("/admin/providers/{id}");
    let reason = json!({"reason": "Fraud reported by several customers"});
    let (job, _) = office.new_job().await;
    says(&office.post(&format!("{path}/ban"), &reason).await.expect(400), "active jobs");
    office.world.sql(&format!("update stm.jobs set status = 'cancelled' where id = {job}")).await;
    let refused = office.post(&format!("{path}/ban"), &json!({"reason": ""})).await.expect(400);
    assert_eq!(refused["errors"][0]["field"], "reason");
    says(&office.post(&format!("{path}/unban"), &json!({})).await.expect(400), "not banned");

    office.post(&format!("{path}/ban"), &reason).await.expect(200);
    assert_eq!(office.provider_status_of(id).await, "banned");
    office.world.get_as(&office.provider.user, "/provider/dashboard").await.expect(401);
    let login = json!({"email": office.provider.user.email, "password": PASSWORD});
    office.world.post("/auth/login", &login).await.expect(403);
    says(&office.post(&format!("{path}/ban"), &reason).await.expect(400), "already banned");

    office.post(&format!("{path}/unban"), &json!({})).await.expect(200);
    assert_eq!(office.provider_status_of(id).await, "active");
    office.world.post("/auth/login", &login).await.expect(200);
    office.world.sql("update stm.providers set status = 'pending'").await;
    says(&office.post(&format!("{path}/ban"), &reason).await.expect(400), "pending approval");
    for what in ["ban", "unban"] {
        office.post(&format!("/admin/providers/999999/{what}"), &reason).await.expect(404);
    }
    let events = office.get("/admin/events?subject=provider").await;
    let commands: Vec<_> =
        events["data"].as_array().expect("events").iter().map(|event| event["after"]["command"].clone()).collect();
    assert_eq!(commands, ["unban", "ban"]);
}

#[tokio::test]
async fn a_request_for_a_ban_is_approved() {
    let office = Office::start().await;
    let lsm = office.world.lsm().await;
    let id = office.ban_request(&lsm).await;
    let listed = office.get("/admin/ban-requests?status=pending").await["data"][0].clone();
    assert_eq!(
        (&listed["id"], &listed["reason"], &listed["provider"]["id"], &listed["requestedBy"]["name"]),
        (&json!(id), &json!("Fraud"), &json!(office.provider.id), &json!("Lena Local"))
    );
    assert_eq!(office.get("/admin/pending-actions").await["data"]["banRequests"], 1);
    assert_eq!(office.get("/admin/dashboard/stats").await["data"]["pendingApprovals"], 1);

    let approve = format!("/admin/ban-requests/{id}/approve");
    let (job, _) = office.new_job().await;
    assert_eq!(office.post(&approve, &json!({})).await.expect(409)["code"], "open_jobs");
    office.world.sql(&format!("update stm.jobs set status = 'cancelled' where id = {job}")).await;
    office.post(&approve, &json!({})).await.expect(200);
    assert_eq!(office.provider_status_of(office.provider.id).await, "banned");
    assert_eq!(office.notified(&lsm).await.last().map(String::as_str), Some("Ban request approved"));
    assert_eq!(office.post(&approve, &json!({})).await.expect(409)["code"], "wrong_state");
    assert_eq!(office.actions().await, ["set_provider_status", "approve_ban_request"]);
    assert_eq!(office.get("/admin/ban-requests?page=3").await["pagination"]["total"], 1);
}

#[tokio::test]
async fn a_request_for_a_ban_is_rejected() {
    let office = Office::start().await;
    let lsm = office.world.lsm().await;
    let id = office.ban_request(&lsm).await;
    let path = format!("/admin/ban-requests/{id}/reject");
    let refused = office.post(&path, &json!({"reason": "x".repeat(501)})).await.expect(400);
    assert_eq!(refused["errors"][0]["field"], "reason");
    // Without a body too.
    office.world.request(reqwest::Method::POST, &path, Some(&office.admin.token), None).await.expect(200);
    assert_eq!(office.provider_status_of(office.provider.id).await, "active");
    assert_eq!(office.notified(&lsm).await.last().map(String::as_str), Some("Ban request rejected"));
    assert_eq!(office.post(&path, &json!({"reason": "No"})).await.expect(409)["code"], "wrong_state");
    for what in ["approve", "reject"] {
        office.post(&format!("/admin/ban-requests/999999/{what}"), &json!({})).await.expect(404);
    }
    assert_eq!(office.answer("/admin/ban-requests?status=lost").await.expect(400)["errors"][0]["field"], "status");
    assert_eq!(office.actions().await, ["reject_ban_request"]);
}

/// What asks for a ban does not outlive the provider's time as one who can be banned.
#[tokio::test]
async fn a_request_for_a_ban_ends_with_a_ban_or_the_account() {
    let office = Office::start().await;
    let lsm = office.world.lsm().await;
    office.ban_request(&lsm).await;
    let path = format!("/admin/providers/{}", office.provider.id);
    office.post(&format!("{path}/ban"), &json!({"reason": "Threats"})).await.expect(200);
    let status = "select string_agg(status, ' ' order by id) from stm.ban_requests";
    assert_eq!(office.world.text(status).await, "approved");
    assert_eq!(office.notified(&lsm).await.last().map(String::as_str), Some("Ban request approved"));
    let barred = format!(
        "select u.ban_reason || ' by ' || b.role from stm.users u join stm.users b on b.id = u.banned_by where u.id = {}",
        office.provider.user.id
    );
    assert_eq!(office.world.text(&barred).await, "Threats by admin");
    let event = office.get("/admin/events?subject=provider").await["data"][0].clone();
    assert_eq!((&event["before"]["status"], &event["after"]["status"]), (&json!("active"), &json!("banned")));

    office.post(&format!("{path}/unban"), &json!({})).await.expect(200);
    office.ban_request(&lsm).await;
    let login = json!({"email": office.provider.user.email, "password": PASSWORD});
    let token = office.world.post("/auth/login", &login).await.expect(200)["accessToken"].clone();
    let (token, password) = (token.as_str(), json!({"password": PASSWORD}));
    office.world.request(reqwest::Method::DELETE, "/auth/me", token, Some(&password)).await.expect(200);
    assert_eq!(office.world.text(status).await, "approved rejected");
    assert_eq!(office.get("/admin/pending-actions").await["data"]["banRequests"], 0);
}

/// More than one transaction takes.
#[tokio::test]
async fn a_large_batch_is_done_to_its_end() {
    let office = Office::start().await;
    office
        .world
        .sql(
            "insert into stm.users (email, first_name, last_name, role)
                 select 'many-' || n || '@example.com', 'Pete', 'Pipes', 'service_provider' from generate_series(1, 25) n;
             insert into stm.providers (user_id, lsm_id, business_name, region, status, terms_accepted_at)
                 select u.id, l.id, u.email, l.region, 'inactive', now()
                 from stm.users u, stm.local_service_managers l where u.email like 'many-%'",
        )
        .await;
    let sql = "select string_agg(id::text, ',') from stm.providers where status = 'inactive'";
    let ids: Vec<i64> = office.world.text(sql).await.split(',').map(|id| id.parse().expect("an id")).collect();
    let request = json!({"ids": ids, "status": "active"});
    assert_eq!(office.post("/admin/providers/status", &request).await.expect(200)["changed"], 25);
    assert_eq!(office.post("/admin/providers/status", &request).await.expect(200)["unchanged"], 25);
    assert_eq!(office.world.number("select count(*) from stm.providers where status = 'active'").await, 26);
}

#[tokio::test]
async fn a_batch_changes_whom_it_can() {
    let office = Office::start().await;
    let (busy, idle, pending) =
        (office.provider.id, office.world.provider("Plumbing").await.id, office.world.provider("Plumbing").await.id);
    office.new_job().await;
    office.world.sql(&format!("update stm.providers set status = 'pending' where id = {pending}")).await;
    office.world.verified_document(pending).await;
    let batch = async |ids: Value, status: &str| {
        let request = json!({"ids": ids, "status": status, "reason": "Checked"});
        office.post("/admin/providers/status", &request).await.expect(200)
    };
    let answer = batch(json!([pending, idle, busy, 999_999, idle]), "active").await;
    let results: Vec<_> = answer["results"].as_array().expect("results").iter().map(|one| &one["result"]).collect();
    assert_eq!(results, ["unchanged", "unchanged", "changed", "refused"]);
    let answer = batch(json!([busy, idle]), "banned").await;
    assert_eq!((&answer["changed"], &answer["refused"]), (&json!(1), &json!(1)));
    says(&answer["results"][0], "active jobs");
    assert_eq!([office.provider_status_of(busy).await, office.provider_status_of(idle).await], ["active", "banned"]);
    assert_eq!(batch(json!([idle.to_string()]), "active").await["changed"], 1);

    for (body, field) in [
        (json!({"ids": [], "status": "active"}), "ids"),
        (json!({"ids": [1], "status": "pending"}), "status"),
        (json!({"ids": [1], "status": "lost"}), "status"),
        (json!({"ids": [1], "status": "banned"}), "reason"),
        (json!({"ids": (0..201).collect::<Vec<_>>(), "status": "active"}), "ids"),
    ] {
        let refused = office.post("/admin/providers/status", &body).await.expect(400);
        assert_eq!(refused["errors"][0]["field"], field, "{refused}");
    }
    assert_eq!(office.actions().await.len(), 3);
}
