//! Age, use, and what is kept; the rest is in `tests/doors/pool.rs`.

use sqlx::Row as _;
use testing::{Database, PATIENCE};
use tokio::time::{advance, pause, resume, sleep};

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn pool(database: &Database, limits: Limits) -> Pool {
    Pool::new(database.direct_url().parse().unwrap(), limits, LastLoss::default())
}

async fn backend(lease: &mut Lease) -> i32 {
    sqlx::query("select pg_backend_pid()").fetch_one(&mut **lease).await.unwrap().get(0)
}

/// Time goes by while nothing else happens.
async fn age(by: Duration) {
    pause();
    advance(by).await;
    resume();
}

#[tokio::test]
async fn what_is_too_old_is_not_lent() {
    let database = Database::create().await;
    let pool = pool(&database, Limits::new(1, 10 * MAX_AGE));
    let mut lease = pool.acquire().await.unwrap();
    let first = backend(&mut lease).await;
    age(MAX_AGE / 2).await;
    drop(lease);
    let mut lease = pool.acquire().await.unwrap();
    assert_eq!(backend(&mut lease).await, first);
    age(MAX_AGE).await;
    drop(lease);
    let mut lease = pool.acquire().await.unwrap();
    assert_ne!(backend(&mut lease).await, first);
    assert_eq!((pool.status().connections, pool.status().expired), (1, 1));
}

#[tokio::test]
async fn what_is_not_needed_is_closed() {
    let database = Database::create().await;
    let pool = pool(&database, Limits { idle_timeout: Duration::from_millis(50), ..Limits::new(4, MINUTE) });
    let mut kept = pool.acquire().await.unwrap();
    drop(pool.acquire().await.unwrap());
    let started = std::time::Instant::now();
    while pool.status().expired == 0 {
        assert!(started.elapsed() < PATIENCE, "{:?}", pool.status());
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((pool.status().connections, pool.status().idle), (1, 0));
    backend(&mut kept).await;
}

/// Otherwise, if every caller stopped waiting before it had connected, the pool would never get a connection.
#[tokio::test]
async fn a_connection_is_made_although_nobody_waits_for_it() {
    let database = Database::create().await;
    let pool = pool(&database, Limits::new(1, MINUTE));
    assert!(pool.acquire().now_or_never().is_none());
    let started = std::time::Instant::now();
    while pool.status().idle == 0 {
        assert!(started.elapsed() < PATIENCE, "{:?}", pool.status());
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_may_be_dead_is_pinged_once() {
    let database = Database::create().await;
    let pool = pool(&database, Limits::new(1, 10 * MAX_AGE));
    let mut lease = pool.acquire().await.unwrap();
    let first = backend(&mut lease).await;
    drop(lease);
    pool.note_loss();
    let mut lease = pool.acquire().await.unwrap();
    assert_eq!(backend(&mut lease).await, first, "it was alive");
    let proven = lease.proven();
    drop(lease);
    let lease = pool.acquire().await.unwrap();
    assert_eq!(lease.proven(), proven, "it was pinged again");
    drop(lease);

    let mut other = sqlx::PgConnection::connect(&database.direct_url()).await.unwrap();
    sqlx::query("select pg_terminate_backend($1)").bind(first).execute(&mut other).await.unwrap();
    pool.note_loss();
    let mut lease = pool.acquire().await.unwrap();
    assert_ne!(backend(&mut lease).await, first);
    assert_eq!(pool.status().dead, 1);
}

#[tokio::test]
async fn what_does_not_know_the_schema_is_not_lent() {
    let database = Database::create().await;
    let pool = pool(&database, Limits::new(1, 10 * MAX_AGE));
    let mut lease = pool.acquire().await.unwrap();
    let first = backend(&mut lease).await;
    drop(lease);
    pool.note_change();
    let mut lease = pool.acquire().await.unwrap();
    let second = backend(&mut lease).await;
    assert_ne!(second, first);
    drop(lease);
    assert_eq!(backend(&mut pool.acquire().await.unwrap()).await, second);
}

/// A connection with an answer in flight, or in a transaction, is not lent.
#[tokio::test]
async fn nothing_but_a_connection_in_order_is_kept() {
    let database = Database::create().await;
    let pool = pool(&database, Limits::new(1, MINUTE));
    for cut in [true, false] {
        let mut held = pool.acquire().await.unwrap().into_held();
        if cut {
            let sleeps = sqlx::query("select pg_sleep(0.3)").execute(&mut held.connection);
            assert!(timeout(Duration::from_millis(100), sleeps).await.is_err());
        } else {
            PgTransactionManager::begin(&mut held.connection, None).await.unwrap();
        }
        let held = pool.put_back(held).expect_err("it is not in order");
        assert_eq!(pool.status().idle, 0);
        pool.give_up(held);
        assert_eq!(pool.status().connections, 0);
    }
}
