//! The pool of a door: order, places, and callers who go away at every await point.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Instant;

use doors::{Direct, PoolStatus, Pooler, PoolerWire};
use futures_util::StreamExt as _;
use sqlx::{Executor as _, Row as _};
use tokio::task::JoinSet;

use crate::base::{self, WRITES, direct, direct_to, is_right, until_no_transaction_is_open};
use crate::put_in_order::count_panics;
use crate::{door, load, number};
use testing::proxy::{Cut, Proxy};
use testing::{Database, PATIENCE};

/// Waits until the pool is in such a state.
async fn until(what: &str, status: impl Fn() -> PoolStatus, is_there: impl Fn(&PoolStatus) -> bool) {
    let started = Instant::now();
    while !is_there(&status()) {
        assert!(started.elapsed() < PATIENCE, "{what}: {:?}", status());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// When a caller goes away.
#[derive(Debug, Clone, Copy)]
enum Leaves {
    /// As soon as it waits for the so-maniest time.
    Waiting(usize),
    /// When what it waited for the so-maniest time has come, and it has not looked.
    Served(usize),
}

/// Returns what `work` returns, if its caller does not go away before.
async fn until_it_leaves<T>(leaves: Leaves, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut waited = 0;
    poll_fn(|cx| {
        if matches!(leaves, Leaves::Served(times) if waited == times) {
            return Poll::Ready(None);
        }
        let polled = work.as_mut().poll(cx);
        if polled.is_pending() {
            waited += 1;
            if matches!(leaves, Leaves::Waiting(times) if waited == times) {
                return Poll::Ready(None);
            }
        }
        polled.map(Some)
    })
    .await
}

/// Kinds of work with the pooler door.
const KINDS: usize = 5;

async fn work(pooler: &Pooler, kind: usize, n: i32) -> sqlx::Result<()> {
    match kind {
        0 => assert!(is_right(pooler, 7, n).await?, "{n}: somebody else's answer"),
        1 => {
            let mut tx = pooler.read().await?;
            assert!(is_right(&mut tx, 4, n).await?, "{n}: somebody else's answer");
            assert!(is_right(&mut tx, 7, n).await?, "{n}: somebody else's answer");
        }
        2 => {
            let mut tx = pooler.write().await?;
            assert!(is_right(&mut tx, WRITES, n).await?, "{n}: somebody else's answer");
            tx.commit().await?;
        }
        // One that fails, alone and in a transaction.
        3 => {
            assert!(is_right(pooler, 10, n).await?, "{n}: somebody else's answer");
            assert!(is_right(&mut pooler.write().await?, 10, n).await?, "{n}: somebody else's answer");
        }
        // One that leaves in the middle of its rows.
        _ => {
            let mut tx = pooler.write().await?;
            let mut rows = sqlx::query("select i from generate_series($1::int4, $1 + 900) i").bind(n).fetch(&mut tx);
            assert_eq!(rows.next().await.expect("a row")?.try_get::<i32, _>(0)?, n, "somebody else's answer");
        }
    }
    Ok(())
}

/// The pool of one connection goes on as if nothing had been.
async fn assert_unharmed(pooler: &Pooler, n: i32, what: &str) {
    assert!(is_right(pooler, 7, n).await.unwrap_or_else(|error| panic!("{what}: {error:?}")), "{what}");
    until(what, || pooler.pool_status(), |status| (status.connections, status.idle, status.waiting) == (1, 1, 0)).await;
}

/// Whatever a caller waits for when it goes away: the next answer is the next caller's, the place is free, and nothing
/// stays open.
#[tokio::test]
async fn a_caller_may_leave_at_every_await_point() {
    let database = Database::create().await;
    load::prepare(&database).await;
    let proxy = Proxy::before(&database.database_url(), Cut::Pieces).await;
    let pooler = door(&proxy.url(), 1, base::wire());
    let (mut n, mut points) = (0, 0);
    for kind in 0..KINDS {
        for kind_of_leave in [Leaves::Waiting, Leaves::Served] {
            for leaves in (1..).map(kind_of_leave) {
                n += 10_000;
                let left = until_it_leaves(leaves, work(&pooler, kind, n)).await;
                assert_unharmed(&pooler, n + 1, &format!("{kind}, {leaves:?}")).await;
                if let Some(done) = left {
                    done.unwrap_or_else(|error| panic!("{kind}, {leaves:?}: {error:?}"));
                    break;
                }
                points += 1;
            }
        }
    }
    println!("left at {points} points");
    assert!(points > KINDS * 4, "{points}");
    until_no_transaction_is_open(&database).await;
    let written = number(&database, "select count(*) from hazard").await;
    assert_eq!(written, number(&database, "select count(distinct n) from hazard").await);
    assert_eq!(number(&database, "select count(*) from hazard where n % 10000 <> 0").await, 0);
}

/// As above, while the connection is made: the place is free, or the next caller gets what was made.
#[tokio::test]
async fn a_caller_may_leave_while_connecting() {
    let database = Database::create().await;
    for kind_of_leave in [Leaves::Waiting, Leaves::Served] {
        // sqlx pauses a thousand times while it proves its password: not at each of them.
        let points = (1..).map(|n| n + n * n * n / 500);
        for (n, leaves) in (1..).zip(points.map(kind_of_leave)) {
            let pooler = door(&database.database_url(), 1, base::wire());
            let left = until_it_leaves(leaves, is_right(&pooler, 7, n)).await;
            assert_unharmed(&pooler, n, &format!("{leaves:?}")).await;
            if left.is_some() {
                break;
            }
        }
    }
}

/// Requests get connections in order of arrival; one that stops waiting leaves the queue.
#[tokio::test]
async fn places_are_given_in_the_order_of_asking() {
    let database = Database::create().await;
    for wire in PoolerWire::ALL {
        let pooler = door(&database.database_url(), 1, wire);
        let held = pooler.read().await.expect("a transaction");
        let served = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = JoinSet::new();
        let mut waiters = 0;
        for n in 0..8 {
            let (asks, served) = (pooler.clone(), served.clone());
            let waits = waiting.spawn(async move {
                let _tx = asks.read().await.expect("its turn");
                served.lock().expect("no panic").push(n);
            });
            waiters += 1;
            until("it waits", || pooler.pool_status(), |status| status.waiting == waiters).await;
            if n % 3 == 2 {
                waits.abort();
                waiters -= 1;
                until("it has gone", || pooler.pool_status(), |status| status.waiting == waiters).await;
            }
        }
        drop(held);
        while waiting.join_next().await.is_some() {}
        assert_eq!(*served.lock().expect("no panic"), [0, 1, 3, 4, 6, 7], "{wire}");
    }
}

/// The connection that was used last is used next, so that the others may age.
#[tokio::test]
async fn the_last_connection_is_lent_first() {
    const PID: &str = "select pg_backend_pid()";
    let database = Database::create().await;
    let direct = direct_to(&direct(&database), 4);
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(direct.write().await.expect("a transaction"));
    }
    drop(open);
    until("all are idle", || direct.pool_status(), |status| status.idle == 4).await;
    let first: i32 = sqlx::query_scalar(PID).fetch_one(&direct).await.expect("a number");
    for _ in 0..8 {
        let next: i32 = sqlx::query_scalar(PID).fetch_one(&direct).await.expect("a number");
        assert_eq!(next, first);
    }
    assert_eq!(direct.pool_status().connections, 4);
}

/// Nothing is asked, and no task is needed, before a connection that is in order is back.
#[tokio::test]
async fn what_ends_in_order_is_back_at_once() {
    let database = Database::create().await;
    load::prepare(&database).await;
    let pooler = door(&database.database_url(), 2, base::wire());
    let direct = direct_to(&direct(&database), 2);
    for n in 0..3 {
        let mut tx = pooler.write().await.expect("a transaction");
        assert_eq!(pooler.pool_status().idle, 0);
        assert!(is_right(&mut tx, WRITES, n).await.expect("an insert"));
        tx.commit().await.expect("a commit");
        assert_eq!(pooler.pool_status().idle, 1);
        assert!(is_right(&direct, 7, n).await.expect("an answer"));
        assert_eq!(direct.pool_status().idle, 1);
        if base::wire() == PoolerWire::Pipelined {
            assert!(is_right(&pooler, 7, n).await.expect("an answer"));
            assert_eq!(pooler.pool_status().idle, 1);
        }
    }
}

#[track_caller]
fn assert_closed(refused: &sqlx::Result<()>) {
    assert!(matches!(refused, Err(sqlx::Error::PoolClosed)), "{refused:?}");
}

/// Who waits is refused, who is served is waited for, and no connection stays.
#[tokio::test]
async fn a_closed_pool_refuses_and_waits() {
    let database = Database::create().await;
    load::prepare(&database).await;
    let pooler = door(&database.database_url(), 1, base::wire());
    let mut tx = pooler.write().await.expect("a transaction");
    assert!(is_right(&mut tx, WRITES, 1).await.expect("an insert"));
    let waits = tokio::spawn({
        let pooler = pooler.clone();
        async move { pooler.read().await.map(drop) }
    });
    until("it waits", || pooler.pool_status(), |status| status.waiting == 1).await;
    let closes = tokio::spawn({
        let pooler = pooler.clone();
        async move { pooler.close().await }
    });
    assert_closed(&waits.await.expect("a task"));
    assert_closed(&pooler.read().await.map(drop));
    assert_closed(&pooler.ping().await.map(drop));
    assert!(!closes.is_finished(), "it does not wait for what is lent");
    tx.commit().await.expect("a commit");
    closes.await.expect("a task");
    assert_closed(&pooler.write().await.map(drop));
    assert_eq!(number(&database, "select count(*) from hazard").await, 1);

    let direct = direct_to(&direct(&database), 2);
    assert!(is_right(&direct, 7, 1).await.expect("an answer"));
    direct.close().await;
    assert_closed(&direct.write().await.map(drop));
    let sessions =
        "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'direct'";
    assert_eq!(number(&database, sessions).await, 0);
}

async fn until_free(direct: &Direct) {
    until("the places are free", || direct.pool_status(), |status| status.connections == status.idle).await;
}

/// A listener has a place as long as it has a connection, and what it leaves behind is nobody's.
#[tokio::test]
async fn a_lost_listener_leaves_nothing_behind() {
    let panics = count_panics();
    let database = Database::create().await;
    let direct = direct_to(&direct(&database), 2);
    for n in 0..3 {
        let mut listener = direct.listen("changes").await.expect("a listener");
        assert_eq!(direct.pool_status().connections - direct.pool_status().idle, 1);
        assert!(direct.pool_status().connections <= 2, "one of the pool's own did not make room");
        assert!(is_right(&direct, 7, n).await.expect("an answer, on the other connection"));
        let listeners = "select count(pg_terminate_backend(pid)) from pg_stat_activity
            where datname = current_database() and query ilike 'listen%'";
        assert_eq!(number(&database, listeners).await, 1);
        // The answer to this never comes.
        listener.execute("select 1").await.expect_err("a lost connection");
        drop(listener);
        until_free(&direct).await;
        let mut both = Vec::new();
        for _ in 0..2 {
            both.push(direct.write().await.expect("a place"));
        }
        drop(both);
        until("both are idle", || direct.pool_status(), |status| status.idle == 2).await;
    }
    // One that lives is closed with its LISTEN.
    drop(direct.listen("changes").await.expect("a listener"));
    until_free(&direct).await;
    let left = "select count(*) from pg_stat_activity where datname = current_database() and query ilike '%listen%' and pid <> pg_backend_pid()";
    assert_eq!(number(&database, left).await, 0);
    assert_eq!(panics.load(Ordering::Relaxed), 0);
}
