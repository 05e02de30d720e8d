//! What passes between sqlx and the relay in one task. Who leaves half-way is in `tests/doors/pool.rs`.

use std::sync::Arc;
use std::time::Instant;

use futures_util::{StreamExt as _, TryStreamExt as _};
use sqlx::Row as _;
use testing::proxy::{Cut, Proxy};
use testing::{Database, PATIENCE};
use tokio::runtime::Handle;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, timeout};

use super::*;
use crate::limits::TimeLimits;
use crate::local_socket;
use crate::url::{ConnectionString, Secret};

/// A relay to the pooler at `url`, and options to reach it with; the limits are none.
pub fn relay(url: &str) -> (PgConnectOptions, Relay) {
    let url = ConnectionString::parse(Secret::DatabaseUrl, url).unwrap();
    let limits = Arc::new(TimeLimits::new(60 * PATIENCE));
    (local_socket::options(&url, "link"), Relay::new(&url, limits, false, 60 * PATIENCE).unwrap())
}

async fn add_seven(link: &mut Link, n: i32) -> sqlx::Result<i32> {
    let sum = sqlx::query("select $1::int4 + 7").bind(n);
    link.work(|connection| sum.fetch_one(connection)).await?.try_get(0)
}

/// Waits until so many of such statements run.
async fn until_running(database: &Database, pattern: &str, count: i64) {
    let running = "select count(*) from pg_stat_activity where datname = current_database() and state = 'active'
        and pid <> pg_backend_pid() and query like $1";
    let (mut session, started) = (database.session().await, Instant::now());
    while sqlx::query(running).bind(pattern).fetch_one(&mut session).await.unwrap().get::<i64, _>(0) != count {
        assert!(started.elapsed() < PATIENCE, "not {count} run");
        sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// Each has the relay at its own other end: alone, without any other being driven, it gets an answer.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_made_at_once_are_not_mixed_up() {
    let database = Database::create().await;
    let (options, relay) = relay(&database.database_url());
    let relay = Arc::new(relay);
    let mut connecting = JoinSet::new();
    for _ in 0..64 {
        let (options, relay) = (options.clone(), relay.clone());
        connecting.spawn(async move {
            let started = Instant::now();
            loop {
                // On a busy machine so many may not prove their password in time.
                match Link::connect(options.clone(), Some(&relay)).await {
                    Err(_) if started.elapsed() < PATIENCE => {}
                    connected => return connected,
                }
            }
        });
    }
    let links = connecting.join_all().await;
    for (n, link) in (0..).zip(links) {
        let mut link = link.unwrap();
        assert_eq!(timeout(PATIENCE, add_seven(&mut link, n)).await.expect("its own relay").unwrap(), n + 7);
    }
}

/// Neither while it is made, nor for what is done on it.
#[tokio::test]
async fn a_connection_needs_no_task() {
    let database = Database::create().await;
    let (options, relay) = relay(&database.database_url());
    let tasks = Handle::current().metrics().num_alive_tasks();
    let mut link = Link::connect(options, Some(&relay)).await.unwrap();
    for n in 0..20 {
        assert_eq!(add_seven(&mut link, n).await.unwrap(), n + 7);
        link.work(|connection| PgTransactionManager::begin(connection, None)).await.unwrap();
        assert_eq!(add_seven(&mut link, n).await.unwrap(), n + 7);
        link.work(PgTransactionManager::commit).await.unwrap();
        assert!(link.is_in_order());
        assert!(Handle::current().metrics().num_alive_tasks() <= tasks, "{n}");
    }
    link.close().await;
    assert!(Handle::current().metrics().num_alive_tasks() <= tasks);
}

#[tokio::test]
async fn a_connection_that_was_lost_while_idle_is_found_dead() {
    let database = Database::create().await;
    let proxy = Proxy::before(&database.database_url(), Cut::Nowhere).await;
    let (options, relay) = relay(&proxy.url());
    let mut link = Link::connect(options, Some(&relay)).await.unwrap();
    assert_eq!(add_seven(&mut link, 1).await.unwrap(), 8);
    assert!(link.is_alive());
    let lost = tokio::time::Instant::now();
    assert!(proxy.lose_one());
    let started = Instant::now();
    while link.is_alive() {
        assert!(started.elapsed() < PATIENCE, "nobody noticed");
        yield_now().await;
    }
    assert!(relay.last_loss().is_after(lost));
    // The relay is over: it is not polled again, and nobody waits for it.
    let error = timeout(PATIENCE, add_seven(&mut link, 2)).await.expect("an end").unwrap_err();
    assert!(crate::meaning::is_dead(&error), "{error:?}");
    assert!(!link.is_alive());
}

/// Nobody waits for the answer any more: the relay asks the server to stop, in a task of its own.
#[tokio::test]
async fn a_statement_whose_connection_is_dropped_is_stopped() {
    let database = Database::create().await;
    let (options, relay) = relay(&database.database_url());
    let mut link = Link::connect(options, Some(&relay)).await.unwrap();
    let sleeps = sqlx::query("select pg_sleep(1800)::text");
    tokio::select! {
        slept = link.work(|connection| sleeps.execute(connection)) => panic!("{slept:?}"),
        () = until_running(&database, "%pg_sleep(%", 1) => {}
    }
    drop(link);
    until_running(&database, "%pg_sleep(%", 0).await;
}

/// While the reader does not go on, the relay takes no more than the socket holds, however often it is driven.
#[tokio::test]
async fn a_reader_that_stands_still_holds_the_server_up() {
    const ROWS: usize = 40;
    const MIB: usize = 1 << 20;
    let database = Database::create().await;
    let (options, relay) = relay(&database.database_url());
    let mut link = Link::connect(options, Some(&relay)).await.unwrap();
    let rows = sqlx::query("select repeat('x', $1) as long from generate_series(1, $2)");
    let rows = rows.bind(i32::try_from(MIB).unwrap()).bind(i32::try_from(ROWS).unwrap());
    let mut answers = link.fetch_many(rows);
    assert!(answers.next().await.unwrap().unwrap().is_right());
    for _ in 0..100 {
        let end = answers.relay.as_mut().unwrap();
        end.drive(&mut Context::from_waker(Waker::noop()));
        assert!(!end.relay.is_over());
        sleep(std::time::Duration::from_millis(2)).await;
    }
    until_running(&database, "%as long%", 1).await;
    let rest: Vec<_> = answers.try_collect().await.unwrap();
    let lengths = rest.iter().filter_map(|answer| Some(answer.as_ref().right()?.get::<&str, _>(0).len()));
    assert_eq!(lengths.collect::<Vec<_>>(), vec![MIB; ROWS - 1]);
    assert!(link.is_in_order());
}
