//! Statements for which nobody waits any more, and those that somebody wants stopped.

use std::time::{Duration, Instant};

use sqlx::PgConnection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::{code, door_with, number, through_relay};
use doors::Pooler;
use doors::PoolerWire;
use testing::proxy::{Cut, Proxy};
use testing::{Database, PATIENCE};

/// No limit of the server's ends these statements within the test.
const NO_LIMIT: Duration = Duration::from_secs(3600);
const SLEEP: &str = "select pg_sleep(1800)::text";
const SLEEPING: &str = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and state = 'active' and query like '%pg_sleep%'";

async fn until_sleeping(database: &Database, sleepers: i64) {
    let started = Instant::now();
    while number(database, SLEEPING).await != sleepers {
        assert!(started.elapsed() < PATIENCE, "not {sleepers} statements sleep");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn unlimited(url: &str) -> Pooler {
    door_with(url, 2, NO_LIMIT, PoolerWire::Pipelined)
}

/// Outside a transaction, in one that it begins, and in one that has begun.
#[tokio::test]
async fn a_statement_whose_client_has_vanished_is_stopped() {
    let database = Database::create().await;
    let pooler = unlimited(&database.database_url());
    for kind in ["alone", "first", "later"] {
        let mut session = through_relay(&pooler, &database).await;
        if kind != "alone" {
            sqlx::raw_sql("begin").execute(&mut session).await.expect("a transaction");
        }
        if kind == "later" {
            sqlx::query("select 1").execute(&mut session).await.expect("an answer");
        }
        let sleeper = tokio::spawn(async move { sqlx::query(SLEEP).execute(&mut session).await.map(drop) });
        until_sleeping(&database, 1).await;
        sleeper.abort();
        until_sleeping(&database, 0).await;
    }
    pooler.ping().await.expect("an answer");
}

/// As libpq's `PQcancel`: with the key that the server gave, on a connection of its own.
#[tokio::test]
async fn a_statement_is_stopped_by_a_cancel_request() {
    let database = Database::create().await;
    let proxy = Proxy::before(&database.database_url(), Cut::Nowhere).await;
    let pooler = unlimited(&format!("{}?sslmode=disable", proxy.url()));
    let mut session: PgConnection = through_relay(&pooler, &database).await;
    let key = proxy.cancel_key().expect("a key");
    assert_eq!(key.len(), 8);
    let sleeper = tokio::spawn(async move {
        let slept = sqlx::query(SLEEP).execute(&mut session).await.map(drop);
        (slept, session)
    });
    until_sleeping(&database, 1).await;

    let mut request = 16_u32.to_be_bytes().to_vec();
    request.extend_from_slice(&80_877_102_u32.to_be_bytes());
    request.extend_from_slice(&key);
    let mut relay = UnixStream::connect(pooler.relay_socket().expect("a relay")).await.expect("a connection");
    relay.write_all(&request).await.expect("a request");
    // There is no answer to it but the end of its connection.
    let mut answer = Vec::new();
    relay.read_to_end(&mut answer).await.expect("the end");
    assert!(answer.is_empty(), "{answer:?}");

    let (slept, mut session) = sleeper.await.expect("a task");
    assert_eq!(code(&slept.expect_err("cancelled")), "57014");
    let one: i32 = sqlx::query_scalar("select 1").fetch_one(&mut session).await.expect("the same connection");
    assert_eq!(one, 1);
}

/// A cancel request whose key is wrong stops nobody.
#[tokio::test]
async fn a_wrong_key_stops_nobody() {
    let database = Database::create().await;
    let pooler = unlimited(&database.database_url());
    let mut session = through_relay(&pooler, &database).await;
    let sleeper = tokio::spawn(async move { sqlx::query("select pg_sleep(1)::text").execute(&mut session).await });
    until_sleeping(&database, 1).await;
    let mut request = 16_u32.to_be_bytes().to_vec();
    request.extend_from_slice(&80_877_102_u32.to_be_bytes());
    request.extend_from_slice(&[1; 8]);
    let mut relay = UnixStream::connect(pooler.relay_socket().expect("a relay")).await.expect("a connection");
    relay.write_all(&request).await.expect("a request");
    relay.read_to_end(&mut Vec::new()).await.expect("the end");
    sleeper.await.expect("a task").expect("it slept to its end");
}
