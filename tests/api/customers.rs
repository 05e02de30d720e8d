//! The customer's profile.

use serde_json::json;

use crate::harness::World;

#[tokio::test]
async fn the_profile_is_read_and_changed_under_both_names() {
    let world = World::start().await;
    let (customer, other) = (world.customer().await, world.customer().await);
    let profile = world.get_as(&customer, "/customer/profile").await.expect(200);
    assert_eq!(
        profile,
        json!({
            "user": {"name": "Ann Archer", "email": customer.email, "phone": "+12125550123"},
            "address": "1 Main Street", "region": "New York", "zipcode": "10001",
            "statistics": {"totalJobs": 0, "totalSpent": 0},
        })
    );
    assert_eq!(world.get_as(&customer, "/customers/profile").await.expect(200), profile);

    let change = json!({"firstName": " Anna ", "phone": "212.555.0199", "zipcode": "10002-1234", "role": "admin", "status": "x"});
    assert!(world.put_as(&customer, "/customer/profile", &change).await.expect(200)["message"].is_string());
    world.put_as(&customer, "/customers/profile", &json!({"address": "2 Side Street"})).await.expect(200);
    world.put_as(&customer, "/customer/profile", &json!({})).await.expect(200);
    let changed = world.get_as(&customer, "/customer/profile").await.expect(200);
    assert_eq!(changed["user"], json!({"name": "Anna Archer", "email": customer.email, "phone": "+12125550199"}));
    assert_eq!(
        (&changed["address"], &changed["zipcode"], &changed["region"]),
        (&json!("2 Side Street"), &json!("10002"), &json!("New York"))
    );
    assert_eq!(
        world.get_as(&other, "/customer/profile").await.expect(200)["user"]["name"],
        "Ann Archer",
        "nobody else's changed"
    );

    for (field, value) in [("zipcode", "1"), ("phone", "1"), ("firstName", ""), ("address", "\u{0}")] {
        let answer =
            world.put_as(&customer, "/customer/profile", &json!({field: value, "lastName": "Other"})).await.expect(400);
        assert_eq!(answer["errors"][0]["field"], field);
    }
    assert_eq!(
        world.get_as(&customer, "/customer/profile").await.expect(200),
        changed,
        "a refused change changes nothing"
    );
}

#[tokio::test]
async fn statistics_count_jobs_and_what_was_paid() {
    let world = World::start().await;
    let (customer, provider) = (world.customer().await, world.provider("Plumbing").await);
    world.book(&customer, &provider).await;
    world.sql("update stm.jobs set status = 'paid'").await;
    world.book(&customer, &provider).await;
    let profile = world.get_as(&customer, "/customer/profile").await.expect(200);
    assert_eq!(profile["statistics"], json!({"totalJobs": 2, "totalSpent": 120.5}));
}
