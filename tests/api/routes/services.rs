//! What the public sees.

use serde_json::{Value, json};
use testing::world::World;

use crate::support::SERVE;

#[tokio::test]
async fn approved_services_and_active_providers_are_shown() {
    let world = World::start(SERVE).await;
    world.sql("insert into stm.services (name, category, status) values ('Secret', 'Hidden', 'pending'), ('Gone', 'Hidden', 'deleted')").await;
    let services = world.get("/services").await.expect(200);
    assert_eq!(services["total"], 2);
    let names: Vec<_> = services["services"]
        .as_array()
        .expect("services")
        .iter()
        .map(|service| service["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["House cleaning", "Plumbing"], "by category and name");
    assert_eq!(
        services["services"][0].as_object().expect("a service").keys().collect::<Vec<_>>(),
        ["category", "description", "id", "name"]
    );

    let (cheap, dear, away) =
        (world.provider("Plumbing").await, world.provider("Plumbing").await, world.provider("Plumbing").await);
    world
        .sql(&format!(
            "update stm.providers set min_price_cents = 5000, rating = 3.5, total_jobs = 1 where id = {};
             update stm.providers set min_price_cents = 9000, rating = 4.75, total_jobs = 9 where id = {};
             update stm.provider_zip_codes set zip_code = '99999' where zip_code = '10002' and provider_id = {1};
             update stm.providers set status = 'inactive' where id = {};",
            cheap.id, dear.id, away.id
        ))
        .await;
    let ids = async |query: &str| -> Vec<i64> {
        let body = world.get(&format!("/services/{}/providers{query}", cheap.service_id)).await.expect(200);
        body["providers"]
            .as_array()
            .expect("providers")
            .iter()
            .map(|provider| provider["id"].as_i64().expect("an id"))
            .collect()
    };
    assert_eq!(ids("").await, [dear.id, cheap.id], "best first");
    assert_eq!(ids("?sortBy=price").await, [cheap.id, dear.id]);
    assert_eq!(ids("?sortBy=jobs").await, [dear.id, cheap.id]);
    assert_eq!(ids("?zipcode=99999").await, [dear.id]);
    assert_eq!(ids("?zipcode=10001&sortBy=rating").await, [dear.id, cheap.id]);
    assert_eq!(ids("?zipcode=55555").await, [] as [i64; 0]);

    let body = world.get(&format!("/services/{}/providers", cheap.service_id)).await.expect(200);
    assert_eq!(body["service"]["name"], "Plumbing");
    let expected = json!({
        "id": dear.id, "businessName": "Pete's Pipes", "ownerName": "Pete Pipes", "description": null, "experience": null, "rating": 4.75,
        "totalJobs": 9, "minPrice": 90, "maxPrice": 250.5, "serviceAreas": ["10001", "99999"],
    });
    assert_eq!(body["providers"][0], expected, "and neither e-mail nor phone");

    let hidden = world.number("select id from stm.services where name = 'Secret'").await;
    let answer: Value = world.get(&format!("/services/{hidden}/providers")).await.expect(404);
    assert_eq!(answer["detail"], "service not found");
}
