//! Paths that hang: a request with a time budget is answered within it, whichever part hangs.

use std::time::{Duration, Instant};

use doors::{Meaning, Pooler, PoolerWire, meaning, with_budget};
use testing::proxy::{Cut, Proxy};
use testing::{Database, execute};

use crate::{door_with, number};

/// Short beside every limit that the doors have of their own.
const BUDGET: Duration = Duration::from_millis(1500);

/// The answer came by the budget, not by another limit: the shortest of those is 4 s.
const BY_THE_BUDGET: Duration = Duration::from_millis(3500);

const INSERT: &str = "insert into t values (1)";

/// Before what the path stands still.
#[derive(Debug, Clone, Copy)]
enum Stall {
    Begin,
    Statement,
    Commit,
}

async fn single(pooler: &Pooler, proxy: &Proxy) -> sqlx::Result<()> {
    proxy.swallow(true);
    sqlx::query("select 1").execute(pooler).await.map(drop)
}

async fn write(pooler: &Pooler, proxy: &Proxy, stall: Stall) -> sqlx::Result<()> {
    proxy.swallow(matches!(stall, Stall::Begin));
    let mut tx = pooler.write().await?;
    for _ in 0..3 {
        sqlx::query(INSERT).execute(&mut tx).await?;
    }
    proxy.swallow(true);
    if matches!(stall, Stall::Statement) {
        sqlx::query(INSERT).execute(&mut tx).await?;
    }
    tx.commit().await
}

async fn assert_answers_in_time(request: impl Future<Output = sqlx::Result<()>>, what: &str) {
    let started = Instant::now();
    let error = with_budget(BUDGET, request).await.expect_err(what);
    let elapsed = started.elapsed();
    assert_eq!(meaning(&error), Meaning::TryAgainLater, "{what}: {error:?}");
    assert!(elapsed < BY_THE_BUDGET, "{what}: {elapsed:?}");
}

/// Connecting, statements and COMMIT, alone and after others, with either setting; afterwards all goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_budget_bounds_everything() {
    let database = Database::create().await;
    execute(&mut database.session().await, "create table t (n int4)").await;
    for wire in PoolerWire::ALL {
        let proxy = Proxy::before(&database.database_url(), Cut::Nowhere).await;
        let door = || door_with(&proxy.url(), 2, Duration::from_secs(20), wire);
        assert_answers_in_time(single(&door(), &proxy), &format!("{wire}: connecting")).await;
        for stall in [Stall::Begin, Stall::Statement, Stall::Commit] {
            proxy.swallow(false);
            let pooler = door();
            pooler.ping().await.expect("an answer");
            assert_answers_in_time(write(&pooler, &proxy, stall), &format!("{wire} {stall:?}")).await;
            proxy.swallow(false);
            pooler.ping().await.expect("an answer again");
        }
        let pooler = door();
        pooler.ping().await.expect("an answer");
        assert_answers_in_time(single(&pooler, &proxy), &format!("{wire}: a single read")).await;
    }
    assert_eq!(number(&database, "select count(*) from t").await, 0, "no COMMIT went through");
}

/// Every statement is quick enough by itself, and together they are not.
#[tokio::test]
async fn statements_share_a_budget() {
    let database = Database::create().await;
    let pooler = door_with(&database.database_url(), 1, Duration::from_secs(20), crate::base::wire());
    let many = async {
        let mut tx = pooler.read().await?;
        for _ in 0..100 {
            sqlx::query("select pg_sleep(0.2)::text").execute(&mut tx).await?;
        }
        Ok(())
    };
    assert_answers_in_time(many, "20 s of statements").await;
}

/// A COMMIT whose caller was refused may be carried out: then all of it is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_runs_on_after_its_budget() {
    const SLOW: &str = "create table t (n int4);
        create function slow() returns trigger language plpgsql as 'begin perform pg_sleep(4); return null; end';
        create constraint trigger slow after insert on t deferrable initially deferred for each row execute function slow()";
    let database = Database::create().await;
    execute(&mut database.session().await, SLOW).await;
    let pooler = door_with(&database.database_url(), 1, Duration::from_secs(20), crate::base::wire());
    let request = async {
        let mut tx = pooler.write().await?;
        sqlx::query(INSERT).execute(&mut tx).await?;
        tx.commit().await
    };
    assert_answers_in_time(request, "a slow COMMIT").await;
    let started = Instant::now();
    while number(&database, "select count(*) from t").await == 0 {
        assert!(started.elapsed() < testing::PATIENCE, "the COMMIT was given up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
