//! However the use of a connection ends, it goes back to its pool with nothing on its way: a pooler that frees the server
//! after the first answer of a segment mixes nothing up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use doors::PoolerWire;
use doors::Tx;
use doors::url::{ConnectionString, Secret};
use rand::RngExt as _;
use sqlx::Connection as _;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::task::JoinSet;

use crate::base::{self, WRITES, is_right, until_no_transaction_is_open};
use crate::door;
use crate::load::{self, ALL, COMMON};
use testing::Database;
use testing::proxy::{Cut, Proxy};
use testing::scripted_pooler::{Script, ScriptedPooler};

/// As the service used sqlx before: in one transaction, unnamed, and ended by dropping it.
async fn read_as_before(pool: PgPool, n: i32) -> sqlx::Result<bool> {
    let mut session = pool.acquire().await?;
    let mut tx = session.begin_with("begin read only").await?;
    let row: (i32,) = sqlx::query_as("select $1::int4 + 7").bind(n).persistent(false).fetch_one(&mut *tx).await?;
    Ok(row.0 == n + 7)
}

/// The control: twelve sessions whose ROLLBACK and ping travel in one segment.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_is_not_awaited_mixes_answers_up() {
    let database = Database::create().await;
    let scripted = ScriptedPooler::before(&database.direct_url(), 4, Script::FreesEarly).await;
    let url = ConnectionString::parse(Secret::DatabaseUrl, &scripted.url()).expect("a URL");
    let options = url.options("plain-sqlx").statement_cache_capacity(0);
    let pool = PgPoolOptions::new().max_connections(12).test_before_acquire(false).connect_lazy_with(options);
    let mut sessions = JoinSet::new();
    for session in 0..12 {
        let pool = pool.clone();
        sessions.spawn(async move {
            let mut failures = 0;
            for n in 0..50 {
                let read =
                    tokio::time::timeout(Duration::from_secs(1), read_as_before(pool.clone(), session * 100 + n));
                failures += u32::from(!matches!(read.await, Ok(Ok(true))));
            }
            failures
        });
    }
    let failures: u32 = sessions.join_all().await.into_iter().sum();
    println!("{failures} of 600 reads failed or were wrong, {} overlaps", scripted.overlaps());
    assert!(scripted.overlaps() > 0 && failures > 0, "this pooler would not notice the fault");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_hazard_where_servers_are_freed_early() {
    const OPERATIONS: i32 = 5000;
    for wire in [PoolerWire::Pipelined, PoolerWire::Plain] {
        let database = Database::create().await;
        load::prepare(&database).await;
        let scripted = ScriptedPooler::before(&database.direct_url(), 4, Script::FreesEarly).await;
        let shapes = if wire == PoolerWire::Pipelined { ALL } else { COMMON };
        let tally = load::run(&door(&scripted.url(), 12, wire), shapes, |n| n >= OPERATIONS).await;
        tally.assert_all_right(OPERATIONS);
        assert_eq!(tally.assert_stored(&database).await, 0, "written, but not acknowledged");
        assert_eq!(scripted.overlaps(), 0, "{wire}: a request before the answer to the one before it");
    }
}

/// How the use of a transaction may end, besides its commit.
async fn abuse<D: doors::Door>(mut tx: Tx<D>, n: i32) -> sqlx::Result<()> {
    match n % 6 {
        // Dropped unused, and after a statement.
        0 => {}
        1 => assert!(is_right(&mut tx, 7, n).await?, "{n}: somebody else's answer"),
        // After a failure, when it is prepared and when it is executed.
        2 => assert!(sqlx::query("select no_such_column").fetch_all(&mut tx).await.is_err()),
        3 => assert!(sqlx::query("select 1 / ($1::int4 - $1)").bind(n).fetch_optional(&mut tx).await.is_err()),
        // In the middle of its rows.
        4 => {
            let rows = sqlx::query("select i from generate_series(1, 5000) i").fetch(&mut tx);
            drop(futures_util::StreamExt::into_future(rows).await);
        }
        // In the middle of a statement.
        _ => {
            let limit = Duration::from_micros(rand::rng().random_range(0..5000));
            let sleep = sqlx::query("select pg_sleep(0.005)::text").fetch_one(&mut tx);
            let _cut = tokio::time::timeout(limit, sleep).await;
        }
    }
    if n % 12 == 11 {
        assert!(is_right(&mut tx, WRITES, n).await?, "{n}: somebody else's answer");
    }
    Ok(())
}

/// Ten thousand transactions that are dropped, cancelled, or fail, over both doors and with both settings, a third of
/// them cut at a random moment; between them, others notice nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_goes_back_with_nothing_on_its_way() {
    const TASKS: i32 = 16;
    const ROUNDS: i32 = 210;
    let panics = count_panics();
    for way in ["pipelined", "plain", "direct"] {
        let database = Database::create().await;
        load::prepare(&database).await;
        let script = if way == "direct" { Script::Session } else { Script::FreesEarly };
        let scripted =
            ScriptedPooler::before(&database.direct_url(), if way == "direct" { 8 } else { 4 }, script).await;
        let url = ConnectionString::parse(Secret::DirectUrl, &scripted.url()).expect("a URL");
        let direct = base::direct_to(&url, 8);
        let wire = if way == "plain" { PoolerWire::Plain } else { PoolerWire::Pipelined };
        let pooler = door(&scripted.url(), 12, wire);
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let (pooler, direct) = (pooler.clone(), direct.clone());
            tasks.spawn(async move {
                for n in task * ROUNDS..(task + 1) * ROUNDS {
                    let round = async {
                        if way == "direct" {
                            abuse(direct.write().await?, n).await?;
                            assert!(is_right(&direct, 7, n).await?, "{n}: somebody else's answer");
                        } else {
                            abuse(pooler.write().await?, n).await?;
                            assert!(is_right(&pooler, 7, n).await?, "{n}: somebody else's answer");
                        }
                        Ok::<_, sqlx::Error>(())
                    };
                    let limit = if n % 3 == 0 { rand::rng().random_range(0..8000) } else { 60_000_000 };
                    if let Ok(done) = tokio::time::timeout(Duration::from_micros(limit), round).await {
                        done.unwrap_or_else(|error| panic!("{way} {n} was disturbed: {error:?}"));
                    }
                }
            });
        }
        tasks.join_all().await;
        until_no_transaction_is_open(&database).await;
        assert_eq!(scripted.overlaps(), 0, "{way}: a request before the answer to the one before it");
        let stored: i64 = crate::number(&database, "select count(*) from hazard").await;
        assert_eq!(stored, 0, "{way}: nothing was committed");
    }
    assert_eq!(panics.load(Ordering::Relaxed), 0, "the pools' own check failed");
}

/// Panics in the background would go unnoticed.
pub fn count_panics() -> Arc<AtomicUsize> {
    let panics = Arc::new(AtomicUsize::new(0));
    let (counter, show) = (panics.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        counter.fetch_add(1, Ordering::Relaxed);
        show(panic);
    }));
    panics
}

/// Without a runtime there is nobody to roll back: the connection is closed, and its pool opens another.
#[test]
fn what_is_dropped_outside_a_runtime_is_closed() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let database = runtime.block_on(Database::create());
    for wire in [PoolerWire::Pipelined, PoolerWire::Plain] {
        let (tx, pooler) = runtime.block_on(async {
            let pooler = door(&database.database_url(), 1, wire);
            let mut tx = pooler.write().await.expect("a transaction");
            assert!(is_right(&mut tx, 7, 1).await.expect("an answer"));
            (tx, pooler)
        });
        drop(tx);
        runtime.block_on(async {
            assert!(is_right(&pooler, 7, 2).await.expect("the pool's only place is free"));
            until_no_transaction_is_open(&database).await;
        });
    }
    let direct = runtime.block_on(async { base::direct_to(&base::direct(&database), 1) });
    drop(runtime.block_on(direct.write()).expect("a transaction"));
    runtime.block_on(async { assert!(is_right(&direct, 7, 3).await.expect("the pool's only place is free")) });
    // A runtime that ends drops what is under way in it.
    let tx = runtime.block_on(direct.write()).expect("a transaction");
    runtime.spawn(async move {
        let _tx = tx;
        std::future::pending::<()>().await;
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
}

/// The first statement of a transaction, and a single read, whose connection turns out to be dead are tried once more.
#[tokio::test]
async fn a_first_statement_on_a_dead_connection_is_tried_once_more() {
    let database = Database::create().await;
    load::prepare(&database).await;
    let proxy = Proxy::before(&database.database_url(), Cut::Nowhere).await;
    let pooler = door(&proxy.url(), 2, base::wire());
    for n in 0..20 {
        assert!(is_right(&pooler, 7, n).await.expect("an answer"));
        while proxy.lose_one() {}
        assert!(is_right(&pooler, 7, n).await.expect("an answer, on another connection"), "{n}");
        let mut tx = pooler.write().await.expect("a transaction");
        while proxy.lose_one() {}
        assert!(is_right(&mut tx, WRITES, n).await.expect("an insert, on another connection"), "{n}");
        tx.commit().await.expect("a commit");
        // What comes later is not: its transaction is lost.
        let mut tx = pooler.write().await.expect("a transaction");
        assert!(is_right(&mut tx, WRITES, -1 - n).await.expect("an insert"), "{n}");
        while proxy.lose_one() {}
        assert!(is_right(&mut tx, 7, n).await.is_err(), "{n}: the insert before it is lost");
        assert!(tx.commit().await.is_err());
    }
    assert_eq!(crate::number(&database, "select count(*) from hazard where n >= 0").await, 20);
    assert_eq!(crate::number(&database, "select count(*) from hazard where n < 0").await, 0);
}

/// The retry needs a place in the pool, and the dead connections hold all of them.
#[tokio::test]
async fn a_dead_connection_makes_room_for_the_next() {
    let database = Database::create().await;
    load::prepare(&database).await;
    for wire in PoolerWire::ALL {
        let proxy = Proxy::before(&database.database_url(), Cut::Nowhere).await;
        let pooler = door(&proxy.url(), 3, wire);
        for n in 0..3 {
            let mut open = Vec::new();
            for _ in 0..3 {
                open.push(pooler.write().await.expect("a transaction"));
            }
            while proxy.lose_one() {}
            let started = std::time::Instant::now();
            for mut tx in open {
                assert!(is_right(&mut tx, 7, n).await.expect("an answer, on another connection"), "{wire} {n}");
            }
            assert!(started.elapsed() < Duration::from_secs(4), "{wire}: waited for a place in the pool");
        }
    }
}

/// After a restart of the server every idle connection of the direct door is dead too.
#[tokio::test]
async fn a_direct_transaction_passes_dead_connections_over() {
    const TERMINATE: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'";
    let database = Database::create().await;
    load::prepare(&database).await;
    let direct = base::direct_to(&base::direct(&database), 4);
    for n in 0..5 {
        let mut open = Vec::new();
        for _ in 0..4 {
            open.push(direct.write().await.expect("a transaction"));
        }
        drop(open);
        until_no_transaction_is_open(&database).await;
        crate::number(&database, TERMINATE).await;
        for _ in 0..4 {
            let mut tx = direct.write().await.expect("a transaction, on a new connection");
            assert!(is_right(&mut tx, WRITES, n).await.expect("an insert"));
            tx.commit().await.expect("a commit");
        }
    }
    assert_eq!(crate::number(&database, "select count(*) from hazard").await, 20);
}

/// What somebody does on a session stays on it: it is closed, and its transaction with it.
#[tokio::test]
async fn a_session_does_not_go_back() {
    let database = Database::create().await;
    load::prepare(&database).await;
    let direct = base::direct_to(&base::direct(&database), 1);
    let mut session = direct.session().await.expect("a session");
    sqlx::raw_sql("begin; select pg_advisory_lock(1); set statement_timeout = 7")
        .execute(&mut *session)
        .await
        .expect("a mess");
    drop(session);
    for n in 0..3 {
        assert!(is_right(&direct, WRITES, n).await.expect("an insert"));
        let left: String =
            sqlx::query_scalar("select current_setting('statement_timeout')").fetch_one(&direct).await.expect("a row");
        assert_eq!(left, "20s");
    }
    assert_eq!(crate::number(&database, "select count(*) from hazard").await, 3);
}

/// BEGIN succeeds and the limit after it does not: the connection, which is in a failed transaction, is closed.
#[tokio::test]
async fn a_begin_that_fails_half_way_harms_nobody_else() {
    let database = Database::create().await;
    let url = ConnectionString::parse(Secret::DatabaseUrl, &database.database_url()).expect("a URL");
    for wire in PoolerWire::ALL {
        // More milliseconds than PostgreSQL takes.
        let pooler = base::door_to(&url, 1, Duration::from_secs(10_000_000), wire);
        for _ in 0..3 {
            let begun = async { sqlx::query("select 1").execute(&mut pooler.write().await?).await };
            assert_eq!(crate::code(&begun.await.expect_err("out of range")), "22023", "{wire}");
        }
        until_no_transaction_is_open(&database).await;
    }
}

/// A function may raise an error whose code is that of a lost connection: it has run, and does not run again.
#[tokio::test]
async fn an_error_that_a_function_raises_is_not_a_lost_connection() {
    let database = Database::create().await;
    let function = "create sequence runs; create function f() returns int language plpgsql as $$
        begin perform nextval('runs'); raise exception 'no' using errcode = '08006'; end $$";
    testing::execute(&mut database.session().await, function).await;
    for (runs, wire) in (1..).zip(PoolerWire::ALL) {
        let pooler = door(&database.database_url(), 2, wire);
        let mut tx = pooler.write().await.expect("a transaction");
        let error = sqlx::query("select f()").execute(&mut tx).await.expect_err("it raises");
        assert_eq!(crate::code(&error), "08006");
        assert_eq!(crate::number(&database, "select last_value from runs").await, runs, "{wire}: it ran again");
        let later = sqlx::query("select 1").execute(&mut tx).await.expect_err("nothing more is sent");
        assert!(later.to_string().contains("has failed"), "{later}");
        assert!(tx.commit().await.is_err());
    }
}
