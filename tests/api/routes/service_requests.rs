//! Requests for services the catalogue lacks.

use serde_json::json;
use testing::world::World;

use crate::support::SERVE;

#[tokio::test]
async fn a_customers_request_goes_to_the_lsm_of_the_region() {
    let world = World::start(SERVE).await;
    let (customer, lsm) = (world.customer().await, world.lsm().await);
    let request = json!({"keyword": " Chimney sweep ", "description": "My chimney smokes", "region": "new york", "zipcode": "10001"});
    let answer = world.post_as(&customer, "/customers/request-service", &request).await.expect(200);
    let id = answer["requestId"].as_i64().expect("an id");
    assert_eq!(answer, json!({"message": "Service request submitted successfully", "requestId": id}));
    let stored = format!(
        "select count(*) from stm.service_requests
         where id = {id} and requested_by = {} and kind = 'customer' and service_name = 'Chimney sweep' and status = 'pending'
           and lsm_id = (select id from stm.local_service_managers)",
        customer.id
    );
    assert_eq!(world.number(&stored).await, 1);
    let notified = format!(
        "select count(*) from stm.notifications where recipient_id = {} and (metadata->>'requestId')::bigint = {id}",
        lsm.id
    );
    assert_eq!(world.number(&notified).await, 1);

    let elsewhere = json!({"keyword": "Snow", "description": "None here", "region": "Atlantis", "zipcode": "99999"});
    world.post_as(&customer, "/customers/request-service", &elsewhere).await.expect(200);
    assert_eq!(world.number("select count(*) from stm.service_requests where lsm_id is null").await, 1);

    for (field, value) in [
        ("keyword", json!("")),
        ("keyword", json!("x".repeat(101))),
        ("description", json!(null)),
        ("description", json!("x".repeat(501))),
        ("region", json!(" ")),
        ("zipcode", json!("123")),
    ] {
        let mut bad = request.clone();
        bad[field] = value;
        let answer = world.post_as(&customer, "/customers/request-service", &bad).await.expect(400);
        assert_eq!(answer["errors"][0]["field"], field);
    }
    let all = world.post_as(&customer, "/customers/request-service", &json!({})).await.expect(400);
    assert_eq!(all["errors"].as_array().map(Vec::len), Some(4));
    assert_eq!(world.number("select count(*) from stm.service_requests").await, 2);
}

#[tokio::test]
async fn a_providers_request_goes_to_its_lsm_and_is_listed() {
    let world = World::start(SERVE).await;
    let (provider, other, lsm) =
        (world.provider("Plumbing").await, world.provider("Plumbing").await, world.lsm().await);
    let request = json!({
        "serviceName": "Well drilling", "category": "Water", "description": "Deep wells", "questions": [{"q": "How deep?"}],
        "status": "approved",
    });
    let path = "/provider/request-new-service";
    let answer = world.post_as(&provider.user, path, &request).await.expect(201);
    let id = answer["id"].as_i64().expect("an id");
    assert_eq!(
        answer,
        json!({
            "id": id, "serviceName": "Well drilling", "category": "Water", "description": "Deep wells",
            "suggestedQuestions": [{"q": "How deep?"}], "status": "pending", "lsm_approved": null, "admin_approved": null,
            "created_at": answer["created_at"],
            "message": "Service request submitted successfully. Your LSM has been notified.",
        })
    );
    let notified = format!(
        "select count(*) from stm.notifications where recipient_id = {} and title = 'New service request'",
        lsm.id
    );
    assert_eq!(world.number(&notified).await, 1);
    let later = json!({"serviceName": "Roofing", "category": "Repairs", "description": "Roofs"});
    world.post_as(&provider.user, path, &later).await.expect(201);
    world
        .sql(&format!("update stm.service_requests set status = 'rejected', reason = 'too deep' where id = {id}"))
        .await;

    let list = world.get_as(&provider.user, "/provider/my-service-requests").await.expect(200);
    let list = list.as_array().expect("a list");
    assert_eq!((list.len(), &list[0]["serviceName"]), (2, &json!("Roofing")), "newest first");
    assert_eq!((&list[0]["status"], &list[0]["suggestedQuestions"]), (&json!("pending"), &json!(null)));
    assert_eq!(
        list[1],
        json!({
            "id": id, "serviceName": "Well drilling", "category": "Water", "description": "Deep wells",
            "suggestedQuestions": [{"q": "How deep?"}], "status": "rejected", "lsm_approved": false, "admin_approved": null,
            "lsm_rejection_reason": "too deep", "created_at": list[1]["created_at"],
        })
    );
    assert_eq!(world.get_as(&other.user, "/provider/my-service-requests").await.expect(200), json!([]));

    for (field, value) in [
        ("serviceName", json!("")),
        ("serviceName", json!("x".repeat(201))),
        ("category", json!(null)),
        ("description", json!("x".repeat(4001))),
        ("questions", json!("what?")),
        ("questions", json!(["x".repeat(17_000)])),
    ] {
        let mut bad = request.clone();
        bad[field] = value;
        let answer = world.post_as(&provider.user, path, &bad).await.expect(400);
        assert_eq!(answer["errors"][0]["field"], field, "{answer}");
    }
    world.sql("update stm.providers set status = 'banned'").await;
    let refused = world.post_as(&provider.user, path, &request).await.status.as_u16();
    assert!(matches!(refused, 403 | 404), "{refused}");
    assert_eq!(world.number("select count(*) from stm.service_requests").await, 2);
}
