//! The catalogue: services one by one and imported, and requests for new ones.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use testing::world::{Answer, World};

use super::Office;

impl Office {
    async fn import_csv(&self, file: &str) -> Answer {
        let request = self.world.raw(Method::POST, "/admin/services/import").bearer_auth(&self.admin.token);
        World::answer(request.header(CONTENT_TYPE, "text/csv; charset=utf-8").body(file.to_owned())).await
    }

    /// A request of the provider's, in this status.
    async fn request_service(&self, name: &str, status: &str) -> i64 {
        let request = json!({
            "serviceName": name, "category": "Repairs", "description": "On tiled roofs", "suggestedQuestions": ["How high?"],
        });
        self.provider_posts("/provider/request-new-service", &request).await.expect(201);
        let id = self.world.number("select max(id) from stm.service_requests").await;
        self.world.sql(&format!("update stm.service_requests set status = '{status}' where id = {id}")).await;
        id
    }
}

#[tokio::test]
async fn a_service_is_changed_and_taken_out() {
    let office = Office::start().await;
    let path = format!("/admin/services/{}", office.provider.service_id);
    let change = json!({"name": "Plumbing and heating", "category": "Trades", "description": "Leaks", "is_popular": true, "questions": ["Where?"]});
    office.put(&path, &change).await.expect(200);
    let list = office.get("/admin/services?search=HEATING").await;
    assert_eq!(list.as_array().map(Vec::len), Some(1));
    let seen = &list[0];
    assert_eq!(
        (&seen["name"], &seen["category"], &seen["is_popular"]),
        (&change["name"], &change["category"], &json!(true))
    );
    assert_eq!((&seen["questionsJson"], &seen["providerCount"]), (&change["questions"], &json!(1)));
    assert_eq!(office.get("/admin/services?category=cleaning").await[0]["name"], "House cleaning");
    assert_eq!(office.get("/admin/services?limit=1&offset=1").await[0]["name"], "Plumbing and heating");

    let taken = office.put(&path, &json!({"name": "HOUSE cleaning"})).await.expect(409);
    assert_eq!(taken["code"], "name_taken");
    for (body, field) in [
        (json!({"name": "x".repeat(201)}), "name"),
        (json!({"questions": "x"}), "questions"),
        (json!({"is_popular": "perhaps"}), "isPopular"),
    ] {
        assert_eq!(office.put(&path, &body).await.expect(400)["errors"][0]["field"], field);
    }
    assert_eq!(office.answer("/admin/services?limit=0").await.expect(400)["errors"][0]["field"], "limit");

    let (job, _) = office.new_job().await;
    office.delete(&path).await.expect(200);
    assert_eq!(office.get("/admin/services").await.as_array().map(Vec::len), Some(1));
    assert_eq!(office.world.get("/services").await.expect(200)["total"], 1);
    let accept = json!({"action": "accept"});
    office.provider_posts(&format!("/provider/jobs/{job}/respond"), &accept).await.expect(200);
    office.put(&path, &json!({})).await.expect(404);
    office.delete(&path).await.expect(404);
}

#[tokio::test]
async fn thousands_of_services_are_imported_once() {
    const ROWS: usize = 3000;
    let office = Office::start().await;
    let description = "One of many. ".repeat(20);
    let rows: Vec<_> = (0..ROWS)
        .map(|n| json!({"name": format!("Service {n}"), "category": "Many", "description": description}))
        .collect();
    let body = json!({"services": rows});
    let first = office.post("/admin/services/import", &body).await.expect(200);
    assert_eq!((&first["created"], &first["results"][7]["row"]), (&json!(ROWS), &json!(8)));
    let again = office.post("/admin/services/import", &body).await.expect(200);
    assert_eq!((&again["created"], &again["unchanged"]), (&json!(0), &json!(ROWS)));
    assert_eq!(again["results"][7]["id"], first["results"][7]["id"]);
    assert_eq!(office.world.number("select count(*) from stm.services").await, 2 + i64::try_from(ROWS).expect("few"));
    assert_eq!(office.actions().await, ["import_services", "import_services"]);
}

#[tokio::test]
async fn every_row_of_an_import_has_its_result() {
    let office = Office::start().await;
    let file = "name,category,description,questions\n\
                Roofing,Repairs,Tiles,How high?|How steep?\n\
                plumbing,Trades,,\n\
                ,Repairs,,\n\
                ROOFING,Repairs,,\n\
                Windows,Repairs,,{no json\n\
                House cleaning,Cleaning,,\n";
    let imported = office.import_csv(file).await.expect(200);
    let statuses: Vec<_> = imported["results"].as_array().expect("results").iter().map(|row| &row["status"]).collect();
    assert_eq!(statuses, ["created", "updated", "invalid", "invalid", "invalid", "unchanged"]);
    assert_eq!(imported["results"][3]["errors"][0]["message"], "name is the same as in row 1");
    assert_eq!((&imported["results"][1]["id"], &imported["invalid"]), (&json!(office.provider.service_id), &json!(3)));
    let roofing = office.get("/admin/services?search=roofing").await;
    assert_eq!(roofing[0]["questionsJson"], json!(["How high?", "How steep?"]));

    for (body, field) in [
        (json!({"services": []}), "services"),
        (json!({}), "services"),
        (json!({"services": [{"name": 5}]}), "services[0].name"),
    ] {
        let refused = office.post("/admin/services/import", &body).await.expect(400);
        assert_eq!(refused["errors"][0]["field"], field, "{refused}");
    }
    let many: Vec<_> = (0..5001).map(|n| json!({"name": n.to_string(), "category": "Many"})).collect();
    office.post("/admin/services/import", &json!({"services": many})).await.expect(400);
    assert_eq!(office.import_csv("nome,categoria\na,b\n").await.expect(400)["code"], "malformed");
    office.import_csv(&"x".repeat(5 << 20)).await.expect(413);
    let request = office.world.raw(Method::POST, "/admin/services/import").bearer_auth(&office.admin.token);
    World::answer(request.header(CONTENT_TYPE, "text/plain").body("name,category")).await.expect(415);
    assert_eq!(office.actions().await, ["import_services"]);
}

#[tokio::test]
async fn an_approved_request_becomes_a_service_that_its_provider_offers() {
    let office = Office::start().await;
    let id = office.request_service("Roofing", "lsm_approved").await;
    let waiting = office.get("/admin/service-requests/pending").await;
    let seen = &waiting[0];
    assert_eq!(
        (&seen["id"], &seen["serviceName"], &seen["region"]),
        (&json!(id), &json!("Roofing"), &json!("New York"))
    );
    assert_eq!(seen["provider"]["user"]["email"], office.provider.user.email);
    assert_eq!((&seen["lsm"]["name"], &seen["questions_json"]), (&json!("Lena Local"), &json!(["How high?"])));

    let approve = format!("/admin/service-requests/{id}/approve");
    let approved = office.post(&approve, &json!({})).await.expect(200);
    let offered = format!(
        "select count(*) from stm.provider_services where provider_id = {} and service_id = {}",
        office.provider.id, approved["serviceId"]
    );
    assert_eq!(office.world.number(&offered).await, 1);
    assert_eq!(office.get("/admin/service-requests/pending").await, json!([]));
    let mine = office.world.get_as(&office.provider.user, "/provider/my-service-requests").await.expect(200);
    assert_eq!(mine[0]["status"], "approved");
    let titles = [office.notified(&office.provider.user).await, office.notified(&office.world.lsm().await).await];
    for titles in titles {
        assert_eq!(titles.last().map(String::as_str), Some("Service request approved"));
    }
    let refused = office.post(&approve, &json!({})).await.expect(409);
    assert!(refused["detail"].as_str().is_some_and(|why| why.contains("approved already")), "{refused}");

    // The name of a service that is there: the provider offers that one.
    let id = office.request_service("house CLEANING", "lsm_approved").await;
    let approved = office.post(&format!("/admin/service-requests/{id}/approve"), &json!({})).await.expect(200);
    let known = office.world.number("select id from stm.services where name = 'House cleaning'").await;
    assert_eq!(approved["serviceId"], known);
}

#[tokio::test]
async fn a_request_is_rejected_with_a_reason() {
    let office = Office::start().await;
    let id = office.request_service("Roofing", "pending").await;
    let path = format!("/admin/service-requests/{id}");
    let reject = json!({"reason": "A very similar service exists"});
    for (what, body) in [("approve", &json!({})), ("reject", &reject)] {
        assert_eq!(office.post(&format!("{path}/{what}"), body).await.expect(409)["code"], "wrong_state");
        office.post(&format!("/admin/service-requests/999999/{what}"), body).await.expect(404);
    }
    office.world.sql("update stm.service_requests set status = 'lsm_approved'").await;
    let refused = office.post(&format!("{path}/reject"), &json!({"reason": " "})).await.expect(400);
    assert_eq!(refused["errors"][0]["field"], "reason");
    office.post(&format!("{path}/reject"), &reject).await.expect(200);
    let mine = office.world.get_as(&office.provider.user, "/provider/my-service-requests").await.expect(200);
    assert_eq!(mine[0]["status"], "rejected");
    assert!(mine[0].to_string().contains("A very similar service exists"), "{mine}");
    assert_eq!(
        office.notified(&office.provider.user).await.last().map(String::as_str),
        Some("Service request rejected")
    );
    assert_eq!(office.actions().await, ["reject_service_request"]);
}

/// A customer's request has no provider and no category.
#[tokio::test]
async fn a_customers_request_becomes_a_service_too() {
    let office = Office::start().await;
    let request = json!({"keyword": "Roofing", "description": "Tiles", "region": "NY", "zipcode": "10001"});
    let id = office.customer_posts("/customers/request-service", &request).await.expect(200)["requestId"].clone();
    office.world.sql("update stm.service_requests set status = 'lsm_approved'").await;
    let waiting = office.get("/admin/service-requests/pending").await;
    assert_eq!(waiting[0]["provider"]["businessName"], "Ann Archer (customer)");
    office.post(&format!("/admin/service-requests/{id}/approve"), &Value::Null).await.expect(200);
    assert_eq!(office.get("/admin/services?search=roofing").await[0]["category"], "Other");
}
