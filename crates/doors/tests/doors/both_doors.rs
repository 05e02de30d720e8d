//! The two doors: that no statement of ours ever runs as somebody else's, that a cancelled request costs
//! nobody anything, and that the pooler's door refuses what would harm a shared server.

use std::collections::HashSet;
use std::time::Duration;

use doors::probe::{self, Pooling};
use doors::sqlstate;
use rand::RngExt as _;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{Executor as _, Row as _};
use testing::{Database, execute};

use crate::base::{
    SHAPES, WRITES, direct, direct_to, is_right, load, pooled, pooler, pooler_tracks_names, pooler_with,
    until_no_transaction_is_open,
};

/// The hazard of a transaction pooler: through `Pooler` nothing goes wrong in 12,000 operations; plain sqlx,
/// through the same PgBouncer, shows that the same load does go wrong where nothing is done about it, neither by
/// the client nor by a pooler that tracks names.
#[tokio::test(flavor = "multi_thread")]
async fn hazard() {
    const OPERATIONS: i32 = 12_000;
    let database = Database::create().await;
    let mut session = database.session().await;
    execute(&mut session, "create table hazard (n int4)").await;

    let ours = load(
        pooler(&database, 32),
        SHAPES,
        |n| n >= OPERATIONS,
        |pooler, shape, n| async move {
            if shape == WRITES {
                let mut tx = pooler.write().await?;
                let right = is_right(&mut tx, shape, n).await?;
                tx.commit().await?;
                Ok(right)
            } else if n % 2 == 0 {
                is_right(&pooler, shape, n).await
            } else {
                let mut tx = pooler.read().await?;
                is_right(&mut tx, shape, n).await
            }
        },
    )
    .await;
    ours.assert_all_right(OPERATIONS);
    assert_eq!(ours.assert_stored(&database).await, 0, "nothing is there that was not acknowledged");

    let plain: PgPool = PgPoolOptions::new()
        .max_connections(32)
        .acquire_timeout(Duration::from_secs(30))
        .connect_lazy_with(pooled(&database).options("plain-sqlx"));
    let operation = |pool: PgPool, shape, n| async move { is_right(&pool, shape, n).await };
    let theirs = load(plain, SHAPES, |n| n >= 3000, operation).await;
    let errors = theirs.errors();
    println!("plain sqlx: {} right, {} wrong, {errors} errors", theirs.right, theirs.wrong);
    if pooler_tracks_names() {
        theirs.assert_all_right(3000);
    } else {
        assert!(theirs.wrong > 0, "this load would not notice the hazard");
    }
}

/// Operations are dropped at random moments, also inside `begin`; what was acknowledged is there.
#[tokio::test(flavor = "multi_thread")]
async fn cancelled_operations_lose_no_acknowledged_write() {
    let database = Database::create().await;
    let mut session = database.session().await;
    execute(&mut session, "create table hazard (n int4)").await;
    for door in ["pooler", "direct"] {
        let (pooler, direct) = (pooler(&database, 8), direct_to(&direct(&database), 6));
        let tasks: Vec<_> = (0..16)
            .map(|task: i32| {
                let (pooler, direct) = (pooler.clone(), direct.clone());
                tokio::spawn(async move {
                    let mut acknowledged = Vec::new();
                    for round in 0..150 {
                        let n = task * 1000 + round;
                        let write = async {
                            if door == "pooler" {
                                let mut tx = pooler.write().await?;
                                is_right(&mut tx, WRITES, n).await?;
                                tx.commit().await
                            } else {
                                let mut tx = direct.write().await?;
                                is_right(&mut tx, WRITES, n).await?;
                                tx.commit().await
                            }
                        };
                        // Half of them are given time enough; the other half is cut somewhere.
                        let limit = if round % 2 == 0 { 20_000_000 } else { rand::rng().random_range(0..8000) };
                        if let Ok(written) = tokio::time::timeout(Duration::from_micros(limit), write).await {
                            written.expect("others are not disturbed");
                            acknowledged.push(n);
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        let mut acknowledged = HashSet::new();
        for task in tasks {
            acknowledged.extend(task.await.expect("a task"));
        }
        let written: HashSet<i32> = sqlx::query_scalar("select n from hazard")
            .fetch_all(&mut session)
            .await
            .expect("rows")
            .into_iter()
            .collect();
        let missing: Vec<_> = acknowledged.difference(&written).collect();
        assert!(acknowledged.len() >= 16 * 75, "the uncut half is acknowledged: {}", acknowledged.len());
        assert!(missing.is_empty(), "{door}: acknowledged but missing: {missing:?}");
        until_no_transaction_is_open(&database).await;
        execute(&mut session, "truncate hazard").await;
    }
}

#[tokio::test]
async fn the_pooler_refuses_what_would_harm_a_shared_server() {
    let database = Database::create().await;
    execute(&mut database.session().await, "create table t (n int4)").await;
    let pooler = pooler(&database, 2);
    for sql in [
        "commit",
        "rollback",
        "set statement_timeout = 0",
        "listen x",
        "deallocate all",
        "select pg_advisory_lock(1)",
        "select set_config('a.b', 'c', false)",
        "create temp table x (n int)",
        "select 1 as n into temp x",
    ] {
        let mut tx = pooler.write().await.expect("a transaction");
        let error = sqlx::query(sql).execute(&mut tx).await.expect_err(sql).to_string();
        assert!(error.contains("transaction pooler"), "{sql}: {error}");
        // Nothing was sent: the transaction is as good as before.
        sqlx::query("insert into t values (1)").execute(&mut tx).await.expect("an insert");
        tx.commit().await.expect("a commit");
    }
    let mut tx = pooler.write().await.expect("a transaction");
    for refused in [sqlx::raw_sql("select 1").execute(&mut tx).await, tx.execute("select 1").await] {
        assert!(refused.expect_err("the simple protocol").to_string().contains("simple protocol"));
    }

    // A reading statement or transaction cannot write, whatever the text hides.
    let hidden = "with x as (insert into t values (2) returning n) select n from x";
    let code = |error: sqlx::Error| sqlstate(&error).map(String::from);
    assert_eq!(code(sqlx::query(hidden).fetch_one(&pooler).await.expect_err("a write")), Some("25006".into()));
    let mut tx = pooler.read().await.expect("a transaction");
    assert_eq!(code(sqlx::query(hidden).fetch_one(&mut tx).await.expect_err("a write")), Some("25006".into()));
}

/// PostgreSQL answers the COMMIT of a failed transaction with success, and rolls back: that is not a commit.
#[tokio::test]
async fn a_failed_transaction_cannot_be_committed() {
    let database = Database::create().await;
    let mut session = database.session().await;
    execute(&mut session, "create table hazard (n int4)").await;
    let (pooler, direct) = (pooler(&database, 2), direct_to(&direct(&database), 4));
    let mut tx = pooler.write().await.expect("a transaction");
    assert!(is_right(&mut tx, WRITES, 1).await.expect("an insert"));
    assert!(sqlx::query("select 1 / 0").fetch_optional(&mut tx).await.is_err());
    assert!(tx.commit().await.is_err());
    let mut tx = direct.write().await.expect("a transaction");
    assert!(is_right(&mut tx, WRITES, 2).await.expect("an insert"));
    assert!(sqlx::query("select 1 / 0").fetch_all(&mut tx).await.is_err());
    assert!(tx.commit().await.is_err());
    let stored: i64 = sqlx::query_scalar("select count(*) from hazard").fetch_one(&mut session).await.expect("a count");
    assert_eq!(stored, 0);
}

#[tokio::test]
async fn time_limits_ride_in_the_begin_message() {
    let database = Database::create().await;
    let pooler = pooler_with(&database, 2, Duration::from_millis(300));
    let error = sqlx::query("select pg_sleep(5)::text").fetch_one(&pooler).await.expect_err("too slow");
    assert_eq!(sqlstate(&error).as_deref(), Some("57014"));
    // They were local to their transactions: the server's next client does not inherit them.
    let plain = PgPoolOptions::new().max_connections(1).connect_lazy_with(pooled(&database).options("plain-sqlx"));
    let rows = sqlx::raw_sql("select current_setting('statement_timeout')").fetch_one(&plain).await.expect("a row");
    assert_eq!(rows.try_get::<String, _>(0).expect("text"), "0");
}

#[tokio::test]
async fn the_probe_tells_a_pooler_from_a_session() {
    let database = Database::create().await;
    for _ in 0..5 {
        assert_eq!(probe::pooling(&pooled(&database), "probe").await.expect("an answer"), Pooling::Transaction);
        assert_eq!(probe::pooling(&direct(&database), "probe").await.expect("an answer"), Pooling::Session);
    }
}
