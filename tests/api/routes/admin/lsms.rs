//! LSMs: appointed, changed, replaced, removed.

use serde_json::{Value, json};
use testing::world::{PASSWORD, World};

use super::Office;
use crate::support::SERVE;
use crate::support::mail::MailServer;

fn new_lsm(email: &str, region: &str) -> Value {
    json!({
        "email": email, "password": PASSWORD, "firstName": "Nina", "lastName": "Manager", "phoneNumber": "(212) 555-0180",
        "region": region, "area": "",
    })
}

fn successor(email: &str, action: &str, region: &str) -> Value {
    json!({
        "newLsmFirstName": "Nina", "newLsmLastName": "Manager", "newLsmEmail": email, "newLsmPhoneNumber": "+12125550181",
        "newLsmPassword": PASSWORD, "oldLsmAction": action, "newRegionForOldLsm": region, "newAreaForOldLsm": "",
    })
}

impl Office {
    async fn lsm_id(&self, region: &str) -> i64 {
        let sql = format!("select id from stm.local_service_managers where region = '{region}' and status = 'active'");
        self.world.number(&sql).await
    }

    async fn provider_lsm(&self) -> i64 {
        self.world.number(&format!("select lsm_id from stm.providers where id = {}", self.provider.id)).await
    }
}

#[tokio::test]
async fn an_lsm_is_appointed_and_logs_in() {
    let mail_server = MailServer::start().await;
    let settings = mail_server.settings();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, &**value)).collect();
    let office = Office::on(World::start_with(SERVE, &settings).await).await;
    let mut request = new_lsm("nina@example.com", "NJ");
    request["area"] = "Newark".into();
    let id = office.post("/admin/lsm/create", &request).await.expect(201)["id"].clone();
    let login = json!({"email": "nina@example.com", "password": PASSWORD});
    let session = office.world.post("/auth/login", &login).await.expect(200);
    assert_eq!(session["user"]["role"], "local_service_manager");
    let mail = mail_server.message(0).await["text"].as_str().expect("a text").to_owned();
    assert!(mail.contains("local service manager of NJ") && !mail.contains(PASSWORD), "{mail}");

    let list = office.get("/admin/lsms?region=New%20Jersey").await;
    assert_eq!(
        list,
        json!([{
            "id": id, "name": "Nina Manager", "firstName": "Nina", "lastName": "Manager", "email": "nina@example.com",
            "phoneNumber": "+12125550180", "region": "NJ", "area": "Newark", "status": "active", "providerCount": 0,
            "closedDealsCount": 0, "createdAt": list[0]["createdAt"],
        }])
    );
    let created = office.get("/admin/events?action=create_lsm").await;
    assert!(!created.to_string().contains(PASSWORD) && !created.to_string().contains("argon2"), "{created}");

    let taken = office.post("/admin/lsm/create", &new_lsm("nina@example.com", "Utah")).await.expect(409);
    assert!(taken["detail"].as_str().is_some_and(|why| why.contains("email")), "{taken}");
    request["email"] = "nora@example.com".into();
    request["region"] = "new jersey".into();
    let taken = office.post("/admin/lsm/create", &request).await.expect(409);
    assert!(taken["detail"].as_str().is_some_and(|why| why.contains("region")), "{taken}");
    let refused = office.post("/admin/lsm/create", &json!({"email": "x", "password": "short"})).await.expect(400);
    let fields: Vec<_> =
        refused["errors"].as_array().expect("errors").iter().map(|error| error["field"].clone()).collect();
    assert_eq!(fields, ["email", "firstName", "lastName", "phoneNumber", "password", "region"]);
}

#[tokio::test]
async fn an_lsm_is_changed() {
    let office = Office::start().await;
    let id = office.lsm_id("New York").await;
    let path = format!("/admin/lsms/{id}");
    let change = json!({
        "firstName": "Lee", "lastName": "Manager", "email": "LEE@example.com", "phoneNumber": "+12125550100", "region": "NY",
        "area": "Manhattan", "status": "active",
    });
    office.put(&path, &change).await.expect(200);
    office.put(&path, &change).await.expect(200);
    let seen = office.get(&path).await;
    assert_eq!(
        (&seen["email"], &seen["area"], &seen["providerCount"]),
        (&json!("lee@example.com"), &json!("Manhattan"), &json!(1))
    );
    assert_eq!(seen["work"]["activeProviders"], 1);

    office.post("/admin/lsm/create", &new_lsm("nina@example.com", "Ohio")).await.expect(201);
    for (body, code) in
        [(json!({"email": "nina@example.com"}), "email_taken"), (json!({"region": "OH"}), "region_taken")]
    {
        let mut body = body;
        if code == "region_taken" {
            office.world.sql("update stm.local_service_managers set area = 'Manhattan' where region = 'Ohio'").await;
            body["area"] = "manhattan".into();
        }
        assert_eq!(office.put(&path, &body).await.expect(409)["code"], code);
    }
    for (body, field) in [
        (json!({"email": "x"}), "email"),
        (json!({"phoneNumber": "1"}), "phoneNumber"),
        (json!({"status": "away"}), "status"),
        (json!({"firstName": "x".repeat(201)}), "firstName"),
    ] {
        assert_eq!(office.put(&path, &body).await.expect(400)["errors"][0]["field"], field);
    }
    office.put("/admin/lsms/999999", &change).await.expect(404);
    office.answer("/admin/lsms/999999").await.expect(404);
    office.put(&path, &json!({"status": "inactive", "area": ""})).await.expect(200);
    let seen = office.get(&path).await;
    assert_eq!((&seen["status"], &seen["area"], &seen["firstName"]), (&json!("inactive"), &Value::Null, &json!("Lee")));
}

#[tokio::test]
async fn a_successor_takes_everything_over() {
    for (action, region, status) in
        [("deactivate", "", "inactive"), ("reassign", "CT", "active"), ("delete", "", "inactive")]
    {
        let office = Office::start().await;
        let old = office.world.lsm().await;
        let id = office.lsm_id("New York").await;
        let (job, chat) = office.new_job().await;
        office.world.sql("update stm.jobs set status = 'completed', completed_at = now()").await;
        let dispute =
            office.customer_posts("/customers/disputes", &json!({"jobId": job, "description": "It leaks"})).await;
        let dispute = dispute.expect(201)["disputeId"].clone();
        office.world.post_as(&old, &format!("/lsm/disputes/{dispute}/join-chat"), &json!({})).await.expect(200);

        let path = format!("/admin/lsms/{id}/replace");
        let replaced = office.post(&path, &successor("nina@example.com", action, region)).await.expect(200);
        assert_eq!(replaced["providersReassigned"], 1);
        assert_eq!(office.provider_lsm().await, replaced["newLsmId"], "{action}");
        let row = format!("select region || ' ' || status from stm.local_service_managers where id = {id}");
        let expected_region = if region.is_empty() { "New York" } else { region };
        assert_eq!(office.world.text(&row).await, format!("{expected_region} {status}"));
        assert_eq!(
            office.notified(&office.provider.user).await.last().map(String::as_str),
            Some("New local service manager")
        );

        // The old one is out of the chat, the new one resolves the dispute.
        office.world.get_as(&old, &format!("/chat/{chat}/messages")).await.expect(if action == "delete" {
            401
        } else {
            404
        });
        let login = json!({"email": "nina@example.com", "password": PASSWORD});
        let session = office.world.post("/auth/login", &login).await.expect(200);
        let mut new = old.clone();
        new.token = session["accessToken"].as_str().expect("a token").to_owned();
        office.world.get_as(&new, &format!("/lsm/disputes/{dispute}")).await.expect(200);
        let listed = office.get("/admin/lsms").await;
        assert_eq!(listed.as_array().map(Vec::len), Some(if action == "delete" { 1 } else { 2 }), "{action}");
        assert_eq!(office.actions().await, ["replace_lsm"]);
    }
}

#[tokio::test]
async fn a_replacement_that_cannot_be_changes_nothing() {
    let office = Office::start().await;
    let id = office.lsm_id("New York").await;
    office.post("/admin/lsm/create", &new_lsm("ohio@example.com", "Ohio")).await.expect(201);
    let path = format!("/admin/lsms/{id}/replace");
    for (request, status, said) in [
        (successor("nina@example.com", "retire", ""), 400, "oldLsmAction"),
        (successor("nina@example.com", "reassign", ""), 400, "newRegionForOldLsm"),
        (successor("nina@example.com", "reassign", "NY"), 409, "region"),
        (successor("nina@example.com", "reassign", "OH"), 409, "region"),
        (successor("ohio@example.com", "delete", ""), 409, "email"),
        (json!({}), 400, "newLsmEmail"),
    ] {
        let refused = office.post(&path, &request).await.expect(status);
        assert!(refused["detail"].as_str().is_some_and(|why| why.contains(said)), "{said}: {refused}");
    }
    office.post("/admin/lsms/999999/replace", &successor("nina@example.com", "delete", "")).await.expect(404);
    assert_eq!(office.provider_lsm().await, id);
    assert_eq!(office.world.number("select count(*) from stm.users where email = 'nina@example.com'").await, 0);
    assert_eq!(office.actions().await, ["create_lsm"]);
}

#[tokio::test]
async fn only_an_lsm_without_work_is_removed() {
    let office = Office::start().await;
    let id = office.lsm_id("New York").await;
    let path = format!("/admin/lsms/{id}");
    assert_eq!(office.delete(&path).await.expect(409)["code"], "has_providers");
    office.world.sql("update stm.providers set status = 'inactive'").await;
    assert_eq!(office.delete(&path).await.expect(409)["code"], "has_providers");
    office.world.sql("update stm.providers set status = 'banned'").await;
    let request = json!({"keyword": "Roofing", "description": "Tiles", "region": "NY", "zipcode": "10001"});
    office.customer_posts("/customers/request-service", &request).await.expect(200);
    assert_eq!(office.delete(&path).await.expect(409)["code"], "has_providers");
    office.world.sql("update stm.service_requests set status = 'rejected', rejected_by = 'admin'").await;
    let lsm = office.world.lsm().await;
    office.delete(&path).await.expect(200);
    office.world.get_as(&lsm, "/lsm/disputes").await.expect(401);
    assert_eq!(office.get("/admin/lsms").await, json!([]));
    office.delete(&path).await.expect(404);
    office.answer(&path).await.expect(404);
    // The region is free again, and the e-mail address.
    office.post("/admin/lsm/create", &new_lsm("lsm@example.com", "NY")).await.expect(201);
    assert_eq!(office.actions().await, ["delete_lsm", "create_lsm"]);
}

/// Work that nobody looks after goes to the next LSM of the region.
#[tokio::test]
async fn a_new_lsm_adopts_what_an_inactive_one_has_left() {
    let office = Office::start().await;
    let old = office.world.lsm().await;
    let id = office.lsm_id("New York").await;
    let (job, chat) = office.new_job().await;
    office.world.sql("update stm.jobs set status = 'completed', completed_at = now()").await;
    let dispute = json!({"jobId": job, "description": "It leaks"});
    let dispute = office.customer_posts("/customers/disputes", &dispute).await.expect(201)["disputeId"].clone();
    office.world.post_as(&old, &format!("/lsm/disputes/{dispute}/join-chat"), &json!({})).await.expect(200);
    office.put(&format!("/admin/lsms/{id}"), &json!({"status": "inactive"})).await.expect(200);
    office.world.get_as(&old, &format!("/chat/{chat}/messages")).await.expect(404);
    let letters =
        "select count(*) from stm.emails where subject = 'You are no longer the local service manager of New York'";
    assert_eq!(office.world.number(letters).await, 1);

    let request = json!({"keyword": "Roofing", "description": "Tiles", "region": "new york", "zipcode": "10001"});
    office.customer_posts("/customers/request-service", &request).await.expect(200);
    office.post("/admin/lsm/create", &new_lsm("nina@example.com", "New\u{a0}  York")).await.expect(201);
    let login = json!({"email": "nina@example.com", "password": PASSWORD});
    let session = office.world.post("/auth/login", &login).await.expect(200);
    let mut new = old.clone();
    new.id = session["user"]["id"].as_i64().expect("an id");
    new.token = session["accessToken"].as_str().expect("a token").to_owned();
    let seen = office.world.get_as(&new, "/lsm/dashboard").await.expect(200);
    assert_eq!(
        (&seen["region"], &seen["summary"]["totalProviders"], &seen["summary"]["pendingServiceRequests"]),
        (&json!("New York"), &json!(1), &json!(1))
    );
    office.world.post_as(&new, &format!("/lsm/disputes/{dispute}/join-chat"), &json!({})).await.expect(200);
    assert_eq!(office.notified(&new).await, ["Handed over to you"]);
    assert_eq!(
        office.notified(&office.provider.user).await.last().map(String::as_str),
        Some("New local service manager")
    );
    assert_eq!(
        office.put(&format!("/admin/lsms/{id}"), &json!({"status": "active"})).await.expect(409)["code"],
        "region_taken"
    );
    office.delete(&format!("/admin/lsms/{id}")).await.expect(200);
}

/// Of two admins who appoint an LSM for the same region at once, one does.
#[tokio::test(flavor = "multi_thread")]
async fn a_region_gets_one_lsm() {
    let office = Office::start().await;
    for round in 0..10 {
        let region = format!("Region {round}");
        let appoint = async |n: u8| {
            office
                .post("/admin/lsm/create", &new_lsm(&format!("lsm-{round}-{n}@example.com"), &region))
                .await
                .status
                .as_u16()
        };
        let answers = tokio::join!(appoint(1), appoint(2));
        assert!(matches!(answers, (201, 409) | (409, 201)), "{answers:?}");
    }
}
