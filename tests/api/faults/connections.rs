//! Who reaches the database by which door, as PostgreSQL and PgBouncer themselves see it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection, Row as _};
use testing::chats;
use testing::url;
use testing::world::World;

use crate::support::SERVE;

/// What was seen of one backend at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Seen {
    application: String,
    port: i32,
    query: String,
}

/// 200 sockets send at once, and the same users call the REST API: the direct connections stay within the
/// budget of 15, messages are stored by them alone, and the REST statements come through PgBouncer alone.
#[tokio::test(flavor = "multi_thread")]
async fn budget_of_direct_connections_and_a_door_for_each() {
    const SOCKETS: usize = 200;
    const MESSAGES_EACH: usize = 20;
    let world = World::start(SERVE).await;
    let chats = chats::create(&mut world.database.session().await, SOCKETS, 2).await;
    let senders: Vec<_> = chats.iter().map(|chat| json!({"token": chat.members[0].token, "chatId": chat.id})).collect();

    let done = Arc::new(AtomicBool::new(false));
    let watched = tokio::spawn(watch(world.database.session().await, done.clone()));
    let servers = tokio::spawn(pooler_servers(world.database.direct_url(), done.clone()));
    let report = world.client("many_senders.mjs", &json!({"senders": senders, "messagesEach": MESSAGES_EACH})).await;
    done.store(true, Ordering::Relaxed);
    let (most_direct, seen) = watched.await.expect("the watcher");
    let servers = servers.await.expect("the watcher of the pooler");

    assert_eq!(report["acked"], SOCKETS * MESSAGES_EACH);
    assert_eq!(world.number("select count(*) from stm.messages where client_message_id is not null").await, 4000);
    println!(
        "at most {most_direct} direct connections; {} different sights; {} pooler servers",
        seen.len(),
        servers.len()
    );
    assert!((1..=15).contains(&most_direct), "{most_direct} direct connections");

    let by = |application: &str| seen.iter().filter(|seen| seen.application == application).collect::<Vec<_>>();
    let (pooled, direct) = (by("stm-pooler"), by("stm-direct"));
    let is_batch = |seen: &Seen| seen.query.contains("Stores a batch of messages");
    let is_history = |seen: &Seen| seen.query.contains("stm.list_messages_v1(");
    assert!(direct.iter().any(|seen| is_batch(seen)), "the socket's statement was seen");
    assert!(pooled.iter().any(|seen| is_history(seen)), "the REST statement was seen");
    assert!(!pooled.iter().any(|seen| is_batch(seen)), "messages go by the direct door");
    assert!(!direct.iter().any(|seen| is_history(seen)), "REST goes by the pooler");
    // Not only by name: the one comes from PgBouncer's own ports, the other does not.
    assert!(
        pooled.iter().filter(|seen| is_history(seen)).all(|seen| servers.contains(&seen.port)),
        "{servers:?} {pooled:?}"
    );
    assert!(direct.iter().all(|seen| !servers.contains(&seen.port)), "{servers:?} {direct:?}");
}

/// Samples `pg_stat_activity` until `done`. Returns the most direct connections at once, and all that was seen.
async fn watch(mut session: PgConnection, done: Arc<AtomicBool>) -> (usize, HashSet<Seen>) {
    let mut most = 0;
    let mut all = HashSet::new();
    while !done.load(Ordering::Relaxed) {
        let rows = sqlx::query("select application_name, client_port, query from pg_stat_activity where datname = current_database() and application_name like 'stm-%'")
            .fetch_all(&mut session)
            .await
            .expect("pg_stat_activity");
        let seen: Vec<_> =
            rows.iter().map(|row| Seen { application: row.get(0), port: row.get(1), query: row.get(2) }).collect();
        most = most.max(seen.iter().filter(|seen| seen.application == "stm-direct").count());
        all.extend(seen);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (most, all)
}

/// The ports from which PgBouncer has reached this database, from its own admin console.
async fn pooler_servers(direct_url: String, done: Arc<AtomicBool>) -> HashSet<i32> {
    let name = direct_url.rsplit_once('/').expect("a URL").1.to_owned();
    let options: PgConnectOptions = url("DATABASE_URL").parse().expect("a URL");
    let mut console =
        options.database("pgbouncer").extra_float_digits(None).connect().await.expect("the admin console");
    let mut ports = HashSet::new();
    while !done.load(Ordering::Relaxed) {
        let servers = sqlx::raw_sql("show servers").fetch_all(&mut console).await.expect("servers");
        let ours = servers.iter().filter(|row| row.get::<String, _>("database") == name);
        ports.extend(ours.map(|row| row.get::<i32, _>("local_port")));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ports
}
