//! The demo data: a marketplace that runs.

use serde_json::json;
use testing::Database;
use testing::world::World;

use crate::support::SERVE;

const PEOPLE: [&str; 10] = ["ann", "bob", "carol", "dave", "clean", "pipes", "lawn", "lsm", "lsm.nj", "admin"];

/// How many rows each table has.
async fn counts(world: &World) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in ["users", "providers", "jobs", "job_events", "messages", "payments", "reviews", "disputes", "invoices"]
    {
        counts.push(world.number(&format!("select count(*) from stm.{table}")).await);
    }
    counts
}

#[tokio::test]
async fn demo_data_is_loaded_once_and_everybody_can_log_in() {
    let world = World::start_empty(SERVE, Database::create().await, &[("DEMO_DATA", "true")]);
    for person in PEOPLE {
        let login = json!({"email": format!("{person}@demo.example"), "password": "demo-password"});
        world.post("/auth/login", &login).await.expect(200);
    }
    for (column, states) in [
        ("stm.providers", "pending active inactive rejected banned"),
        ("stm.jobs", "new in_progress completed paid cancelled rejected_by_sp"),
    ] {
        for state in states.split(' ') {
            let rows = format!("select count(*) from {column} where status = '{state}'");
            assert!(world.number(&rows).await > 0, "{column} {state}");
        }
    }
    let wrong = "select count(*) from stm.providers p
                 cross join lateral (
                     select count(*) as jobs, coalesce(sum(j.price_cents), 0) as cents
                     from stm.jobs j where j.provider_id = p.id and j.status = 'paid') paid
                 where p.total_jobs <> paid.jobs or p.earnings_cents <> paid.cents";
    assert_eq!(world.number(wrong).await, 0, "what is counted follows from the rows");

    let before = counts(&world).await;
    assert_eq!(before[2..], [8, before[3], before[4], 4, 2, 1, 1], "jobs, …, payments, reviews, disputes, invoices");
    let _second = testing::server::Server::start(SERVE, &world.environment(&[("DEMO_DATA", "true")]));
    assert_eq!(counts(&world).await, before);
}
