//! What the relay counts, what it keeps, and what it leaves behind.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use doors::PoolerWire;
use doors::{Pooler, RelayCounters};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use crate::{code, counters, door, number, pipelined, through_relay};
use testing::{Database, PATIENCE, execute};

/// Waits until the counters are as they should be.
async fn until(pooler: &Pooler, expected: RelayCounters) {
    let started = Instant::now();
    while counters(pooler) != expected {
        assert!(started.elapsed() < PATIENCE, "{:?}, not {expected:?}", counters(pooler));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn every_event_of_a_known_sequence_is_counted_once() {
    let database = Database::create().await;
    let pooler = pipelined(&database, 1);
    let mut expected = RelayCounters { hits: 0, misses: 0, changed: 0, refused: 0, evicted: 0, held: 0, forgotten: 0 };
    assert_eq!(counters(&pooler), expected);

    // The first connection asks for a description, and remembers it.
    pooler.ping().await.expect("an answer");
    pooler.ping().await.expect("an answer");
    expected.misses = 1;
    until(&pooler, expected).await;

    // A transaction that executes nothing is never heard of.
    drop(pooler.read().await.expect("a transaction"));
    expected.held = 1;
    expected.forgotten = 1;
    until(&pooler, expected).await;
    pooler.write().await.expect("a transaction").commit().await.expect("a commit of nothing");
    expected.held = 2;
    expected.forgotten = 2;
    until(&pooler, expected).await;

    // One that executes something is.
    let mut tx = pooler.read().await.expect("a transaction");
    sqlx::query("select 2").execute(&mut tx).await.expect("an answer");
    drop(tx);
    expected.held = 3;
    expected.misses = 2;
    until(&pooler, expected).await;

    // A second connection gets from memory what the first one has asked for.
    let mut second = through_relay(&pooler, &database).await;
    sqlx::query("select 2").execute(&mut second).await.expect("an answer");
    expected.hits = 1;
    until(&pooler, expected).await;
    sqlx::query("set a.b = 1").execute(&mut second).await.expect_err("refused");
    expected.refused = 1;
    until(&pooler, expected).await;

    // A statement that does not exist is not learned, so it is asked for again.
    for _ in 0..2 {
        sqlx::query("select no_such_column").execute(&pooler).await.expect_err("no such column");
    }
    expected.misses += 2;
    until(&pooler, expected).await;
}

/// What a cancelled `begin` leaves behind: the pool asks whether the connection is alive, and that ends it.
#[tokio::test]
async fn a_ping_forgets_a_transaction_that_has_not_begun() {
    let database = Database::create().await;
    execute(&mut database.session().await, "create table t (n int4)").await;
    let pooler = pipelined(&database, 1);
    let mut session = through_relay(&pooler, &database).await;
    execute(&mut session, "begin").await;
    session.ping().await.expect("alive");
    assert_eq!((counters(&pooler).held, counters(&pooler).forgotten), (1, 1));
    let alone = sqlx::query("insert into t values (1)").execute(&mut session).await.expect_err("no transaction");
    assert_eq!(code(&alone), "25006");
    // One that has begun stays open.
    execute(&mut session, "begin").await;
    sqlx::query("insert into t values (2)").execute(&mut session).await.expect("an insert");
    session.ping().await.expect("alive");
    execute(&mut session, "commit").await;
    assert_eq!(number(&database, "select sum(n) from t").await, 2);
}

/// More statements than sqlx keeps on a connection, than the relay keeps for one, and than its memory holds.
#[tokio::test]
async fn any_number_of_statements_is_answered_right_and_forgotten() {
    let database = Database::create().await;
    let pooler = pipelined(&database, 2);
    let padding = "x".repeat(40_000);
    for n in 0..300 {
        for sql in [format!("select {n} + $1::int4"), format!("select {n} + $1::int4 /* {padding} */")] {
            let mut tx = pooler.read().await.expect("a transaction");
            for m in 0..2 {
                let row = sqlx::query(AssertSqlSafe(sql.clone())).bind(m).fetch_one(&mut tx).await.expect("a row");
                assert_eq!(row.get::<i32, _>(0), n + m);
            }
        }
    }
    let seen = counters(&pooler);
    assert!(seen.misses >= 600 && seen.evicted > 0 && seen.changed == 0 && seen.refused == 0, "{seen:?}");
}

fn directory(pooler: &Pooler) -> PathBuf {
    pooler.relay_socket().expect("a relay").parent().expect("a directory").to_owned()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("a directory").permissions().mode() & 0o777
}

/// Nobody else may enter the directory; it goes with its door, and one that a killed process left behind goes when
/// the next door is opened. One that is in use stays.
#[tokio::test]
async fn a_socket_lives_as_long_as_its_door() {
    let database = Database::create().await;
    let pooler = pipelined(&database, 2);
    let ours = directory(&pooler);
    assert_eq!(mode(&ours), 0o700);

    let stale = std::env::temp_dir().join(format!("doors-{:016x}", rand::random::<u64>()));
    std::fs::create_dir(&stale).expect("a directory");
    drop(std::os::unix::net::UnixListener::bind(stale.join(".s.PGSQL.5432")).expect("a socket"));
    let other = pipelined(&database, 2);
    assert!(!stale.exists(), "what nobody listens at is swept away");
    assert!(ours.exists() && directory(&other).exists());
    pooler.ping().await.expect("an answer");

    let clone = pooler.clone();
    drop(pooler);
    clone.ping().await.expect("an answer");
    drop(clone);
    let started = Instant::now();
    while ours.exists() {
        assert!(started.elapsed() < PATIENCE, "{} stays", ours.display());
        tokio::task::yield_now().await;
    }
    other.ping().await.expect("an answer");
}

/// Doors are opened at the same time, in many processes on one machine: none takes another's directory for stale.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn doors_that_open_at_once_do_not_sweep_each_other_away() {
    let database = Database::create().await;
    let url = database.database_url();
    let openers: Vec<_> = (0..4)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move {
                for _ in 0..500 {
                    let pooler = door(&url, 1, PoolerWire::Pipelined);
                    assert!(pooler.relay_socket().expect("a relay").exists(), "swept away");
                    tokio::task::yield_now().await;
                    assert!(pooler.relay_socket().expect("a relay").exists(), "swept away");
                }
            })
        })
        .collect();
    for opener in openers {
        opener.await.expect("no directory is lost");
    }
}
