//! Callers who go away at any moment, also while their transaction begins.

use std::collections::HashSet;
use std::time::Duration;

use doors::Pooler;
use rand::RngExt as _;
use sqlx::Row as _;

use super::assert_that_no_server_remembers;
use crate::base::{self, WRITES, until_no_transaction_is_open};
use testing::{Database, execute};

const TASKS: i32 = 32;
const OPERATIONS_EACH: i32 = 320;

/// A write in a transaction, a transaction that reads, or a single read. Gives what was written.
async fn operate(pooler: &Pooler, n: i32) -> sqlx::Result<Option<i32>> {
    match n % 3 {
        0 => {
            let mut tx = pooler.write().await?;
            assert!(base::is_right(&mut tx, WRITES, n).await?, "{n}: somebody else's answer");
            tx.commit().await?;
            return Ok(Some(n));
        }
        1 => {
            let mut tx = pooler.read().await?;
            assert!(base::is_right(&mut tx, 7, n).await?, "{n}: somebody else's answer");
            assert!(base::is_right(&mut tx, 4, n).await?, "{n}: somebody else's answer");
        }
        _ => assert!(base::is_right(pooler, 8, n).await?, "{n}: somebody else's answer"),
    }
    Ok(None)
}

/// Half of more than 10,000 operations are cut at a random microsecond. The others do not notice, what was
/// acknowledged is stored, and nothing is left open.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_cancelled_operations_cost_nobody_anything() {
    let database = Database::create().await;
    let mut session = database.session().await;
    execute(&mut session, "create table hazard (n int4)").await;
    let pooler = base::pooler(&database, 8);
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let pooler = pooler.clone();
            tokio::spawn(async move {
                let (mut acknowledged, mut cut) = (HashSet::new(), 0);
                for n in task * OPERATIONS_EACH..(task + 1) * OPERATIONS_EACH {
                    let is_cut = rand::rng().random_bool(0.5);
                    let limit = if is_cut { rand::rng().random_range(0..12_000) } else { 60_000_000 };
                    if let Ok(done) = tokio::time::timeout(Duration::from_micros(limit), operate(&pooler, n)).await {
                        acknowledged.extend(done.unwrap_or_else(|error| panic!("{n} was disturbed: {error:?}")));
                    } else {
                        assert!(is_cut, "{n}: no answer");
                        cut += 1;
                    }
                }
                (acknowledged, cut)
            })
        })
        .collect();
    let (mut acknowledged, mut cut) = (HashSet::new(), 0);
    for task in tasks {
        let (more, more_cut) = task.await.expect("a task");
        acknowledged.extend(more);
        cut += more_cut;
    }
    println!("{} writes acknowledged, {cut} operations cut", acknowledged.len());
    assert!(cut > 500 && acknowledged.len() > 1000, "no storm: {cut} cut, {} written", acknowledged.len());
    until_no_transaction_is_open(&database).await;
    let stored: Vec<i32> = sqlx::query_scalar("select n from hazard").fetch_all(&mut session).await.expect("rows");
    let once: HashSet<i32> = stored.iter().copied().collect();
    assert_eq!(once.len(), stored.len(), "a write is there twice");
    let missing: Vec<_> = acknowledged.difference(&once).collect();
    assert!(missing.is_empty(), "acknowledged but missing: {missing:?}");

    // Every connection of the pool, whatever happened on it.
    for n in 1_000_000..1_000_100 {
        operate_and_check(&pooler, n).await;
        let stored = "select count(*) from hazard where n = $1";
        let stored = sqlx::query(stored).bind(n).fetch_one(&mut session).await.expect("a count");
        assert_eq!(stored.get::<i64, _>(0), 1);
    }
    assert_that_no_server_remembers(&database).await;
}

async fn operate_and_check(pooler: &Pooler, n: i32) {
    let mut tx = pooler.write().await.expect("a transaction");
    assert!(base::is_right(&mut tx, WRITES, n).await.expect("an insert"));
    tx.commit().await.expect("a commit");
}
