//! Clients that hang up in the middle of their requests.

use std::time::Duration;

use rand::RngExt as _;
use testing::PATIENCE;
use testing::world::World;

use crate::support::{SERVE, Scene};

/// Clients hang up in the middle of requests that write: no transaction stays open, and the next write counts.
#[tokio::test(flavor = "multi_thread")]
async fn cancelled_requests_leave_no_open_transaction() {
    let world = World::start_with(SERVE, &[("POOLER_MAX_CONNECTIONS", "4")]).await;
    let Scene { world, customer, provider } = Scene::on(world).await;
    for round in 0..120_u64 {
        let write = world
            .raw(reqwest::Method::PUT, "/customer/profile")
            .bearer_auth(&customer.token)
            .json(&serde_json::json!({"address": format!("{round}")}));
        let read = world.raw(reqwest::Method::GET, "/customer/profile").bearer_auth(&customer.token);
        for request in [write, read] {
            let limit = Duration::from_micros(rand::rng().random_range(100..6000));
            let _usually_cut = tokio::time::timeout(limit, request.send()).await;
        }
    }
    let open = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
                and state like 'idle in transaction%'";
    let started = std::time::Instant::now();
    while world.number(open).await > 0 {
        assert!(started.elapsed() < PATIENCE, "a transaction stays open");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for round in 0..8 {
        // Another column than that of the storm, of which a cut request may still be carried out.
        let name = format!("Ann {}", ["A", "B", "C", "D", "E", "F", "G", "H"][round]);
        world.put_as(&customer, "/customer/profile", &serde_json::json!({"firstName": name})).await.expect(200);
        let stored: String = sqlx::query_scalar("select first_name from stm.users where id = $1")
            .bind(customer.id)
            .fetch_one(&mut world.database.session().await)
            .await
            .expect("a row");
        assert_eq!(stored, name);
    }
    world.book(&customer, &provider).await;
}
