//! The customer's profile.

use serde_json::json;
use testing::world::World;

use crate::support::{SERVE, Scene};

#[tokio::test]
async fn the_profile_is_read_and_changed_under_both_names() {
    let world = World::start(SERVE).await;
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
    let answer = world.put_as(&customer, "/customer/profile", &change).await.expect(200);
    assert!(answer["message"].is_string(), "{answer}");
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

    for (field, value) in [("zipcode", "1"), ("phone", "1"), ("firstName", " "), ("address", "\u{0}")] {
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
    let Scene { world, customer, provider } = Scene::start().await;
    world.book(&customer, &provider).await;
    world.sql("update stm.jobs set status = 'paid'").await;
    world.book(&customer, &provider).await;
    let profile = world.get_as(&customer, "/customer/profile").await.expect(200);
    assert_eq!(profile["statistics"], json!({"totalJobs": 2, "totalSpent": 120.5}));
}

#[tokio::test]
async fn the_dashboard_counts_jobs_and_shows_the_last_ones() {
    let Scene { world, customer, provider } = Scene::start().await;
    let other = world.customer().await;
    let empty = json!({
        "summary": {"totalJobs": 0, "totalSpent": 0, "pendingFeedback": 0},
        "jobs": {"new": 0, "in_progress": 0, "completed": 0, "paid": 0, "cancelled": 0, "rejected_by_sp": 0},
        "recentJobs": [], "recentFeedback": [],
    });
    assert_eq!(world.get_as(&customer, "/customers/dashboard").await.expect(200), empty);

    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(world.book(&customer, &provider).await["job"]["id"].as_i64().expect("an id"));
        world.sql("update stm.jobs set status = 'cancelled'").await;
    }
    for (id, status) in
        ids.iter().zip(["paid", "paid", "cancelled", "rejected_by_sp", "new", "in_progress", "completed"])
    {
        world.sql(&format!("update stm.jobs set status = '{status}' where id = {id}")).await;
    }
    let review = json!({"rating": 5, "feedback": "good"});
    world.post_as(&customer, &format!("/customers/jobs/{}/feedback", ids[0]), &review).await.expect(200);

    let dashboard = world.get_as(&customer, "/customers/dashboard").await.expect(200);
    assert_eq!(dashboard["summary"], json!({"totalJobs": 7, "totalSpent": 241, "pendingFeedback": 1}));
    assert_eq!(
        dashboard["jobs"],
        json!({"new": 1, "in_progress": 1, "completed": 1, "paid": 2, "cancelled": 1, "rejected_by_sp": 1})
    );
    let recent = dashboard["recentJobs"].as_array().expect("a list");
    let shown: Vec<_> = recent.iter().map(|job| job["id"].as_i64().expect("an id")).collect();
    assert_eq!(shown, ids.iter().rev().take(5).copied().collect::<Vec<_>>());
    assert_eq!(
        recent[0],
        json!({
            "id": ids[6], "service": "Plumbing", "provider": "Pete's Pipes", "status": "completed", "price": 120.5,
            "scheduledAt": null, "createdAt": recent[0]["createdAt"],
        })
    );
    let feedback = &dashboard["recentFeedback"];
    assert_eq!(
        *feedback,
        json!([{
            "id": feedback[0]["id"], "jobId": ids[0], "service": "Plumbing", "provider": "Pete's Pipes", "rating": 5,
            "feedback": "good", "createdAt": feedback[0]["createdAt"],
        }])
    );
    assert_eq!(world.get_as(&other, "/customers/dashboard").await.expect(200), empty);
}

#[tokio::test]
async fn jobs_are_listed_newest_first() {
    let Scene { world, customer, provider } = Scene::start().await;
    let other = world.customer().await;
    let first = world.book(&customer, &provider).await["job"]["id"].clone();
    world
        .sql(
            "update stm.jobs set status = 'paid', scheduled_at = '2026-04-01 10:00Z', completed_at = '2026-04-01 12:00Z',
                                 location = null, images = '{https://a.example/b}';
             update stm.providers set rating = 4.5",
        )
        .await;
    let second = world.book(&customer, &provider).await["job"]["id"].clone();
    let list = world.get_as(&customer, "/customer/jobs").await.expect(200);
    let provider_view = json!({
        "id": provider.id, "businessName": "Pete's Pipes", "rating": 4.5,
        "user": {"first_name": "Pete", "last_name": "Pipes", "phone_number": "+12125550124"},
    });
    let service = json!({"id": provider.service_id, "name": "Plumbing", "category": "Repairs"});
    assert_eq!(
        list,
        json!([
            {
                "id": second, "status": "new", "service": service, "provider": provider_view, "location": "1 Main Street",
                "images": [], "scheduled_at": null, "completed_at": null, "created_at": list[0]["created_at"],
            },
            {
                "id": first, "status": "paid", "service": service, "provider": provider_view, "location": "10001",
                "images": ["https://a.example/b"], "scheduled_at": "2026-04-01T10:00:00.000Z",
                "completed_at": "2026-04-01T12:00:00.000Z", "created_at": list[1]["created_at"],
            },
        ])
    );
    let part = world.get_as(&customer, "/customer/jobs?limit=1&offset=1").await.expect(200);
    assert_eq!(part, json!([list[1]]));
    assert_eq!(world.get_as(&other, "/customer/jobs").await.expect(200), json!([]));
    for (query, named) in [("limit=0", "limit"), ("offset=-1", "offset")] {
        let answer = world.get_as(&customer, &format!("/customer/jobs?{query}")).await.expect(400);
        assert_eq!(answer["errors"][0]["field"], named);
    }
}
