//! Connections are lost under load, on either side of the pooler, and with the pooler: an answer is right or an error,
//! and what was acknowledged is stored once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

use doors::Pooler;
use doors::PoolerWire;
use futures_util::TryStreamExt as _;
use rand::RngExt as _;
use sqlx::AssertSqlSafe;

use crate::base::{self, Tally, until_no_transaction_is_open};
use crate::load::{self, ALL, COMMON};
use crate::{assert_that_no_server_remembers, door};
use testing::proxy::{Cut, Proxy};
use testing::{Database, PATIENCE, Stack};

const CONNECTIONS: u32 = 16;

fn shapes() -> usize {
    if base::wire() == PoolerWire::Pipelined { ALL } else { COMMON }
}

/// How far the load has come.
#[derive(Clone, Default)]
struct Load {
    started: Arc<AtomicI32>,
    is_over: Arc<AtomicBool>,
}

impl Load {
    /// Goes on until `trouble` is over. Returns what it saw and how often something was lost.
    async fn meets(&self, pooler: &Pooler, trouble: impl Future<Output = u32>) -> (Tally, u32) {
        let load = self.clone();
        let enough = move |n| {
            load.started.fetch_max(n, Ordering::Relaxed);
            load.is_over.load(Ordering::Relaxed)
        };
        let trouble = async {
            let losses = trouble.await;
            self.is_over.store(true, Ordering::Relaxed);
            losses
        };
        tokio::join!(load::run(pooler, shapes(), enough), trouble)
    }

    /// Lets it come on by so many operations, and a moment.
    async fn comes_on(&self, operations: i32) {
        let (from, since) = (self.started.load(Ordering::Relaxed), Instant::now());
        while self.started.load(Ordering::Relaxed) < from + operations {
            assert!(since.elapsed() < PATIENCE, "the load stands still");
            a_moment(3).await;
        }
    }
}

/// After the trouble: nothing wrong in it, and soon no trace of it.
async fn assert_unharmed(pooler: &Pooler, database: &Database, tally: &Tally, losses: u32) {
    println!("{losses} losses, {} right, {} errors: {:#?}", tally.right, tally.errors(), tally.errors);
    assert_eq!((tally.wrong, tally.unanswered), (0, 0));
    assert!(tally.right > 100 && tally.acknowledged.len() > 5, "too little was tried: {tally:?}");
    assert!(losses > 0, "nothing was lost");
    until_no_transaction_is_open(database).await;
    let unknown = tally.assert_stored(database).await;
    assert!(unknown <= usize::try_from(tally.errors()).expect("small"), "{unknown} writes that nobody asked for");

    // A server that could not be reached is tried again a second later.
    let started = Instant::now();
    let mut in_a_row = 0;
    while in_a_row < 2 * CONNECTIONS {
        in_a_row = if pooler.ping().await.is_ok() { in_a_row + 1 } else { 0 };
        assert!(started.elapsed() < PATIENCE, "it does not work by itself again");
    }
    sqlx::raw_sql("truncate hazard").execute(&mut database.session().await).await.expect("an empty table");
    let after = load::run(pooler, shapes(), |n| n >= 1000).await;
    after.assert_all_right(1000);
    assert_eq!(after.assert_stored(database).await, 0, "written, but not acknowledged");
    assert_that_no_server_remembers(database).await;
}

async fn a_moment(up_to_ms: u64) {
    let moment = rand::rng().random_range(1..=up_to_ms);
    tokio::time::sleep(Duration::from_millis(moment)).await;
}

/// The way to the pooler breaks, a connection at a time.
#[tokio::test(flavor = "multi_thread")]
async fn lost_connections_to_the_pooler_cost_errors_and_nothing_else() {
    let database = Database::create().await;
    load::prepare(&database).await;
    let proxy = Proxy::before(&database.database_url(), Cut::Nowhere).await;
    let pooler = door(&proxy.url(), CONNECTIONS, base::wire());
    let load = Load::default();
    let trouble = async {
        let mut losses = 0;
        while losses < 100 {
            load.comes_on(20).await;
            losses += u32::from(proxy.lose_one());
        }
        losses
    };
    let (tally, losses) = load.meets(&pooler, trouble).await;
    assert!(tally.errors() > 0, "nothing was hit: what is not a first statement is not tried again");
    assert_unharmed(&pooler, &database, &tally, losses).await;
}

/// Servers go away behind the pooler, in the middle of statements and between those of a transaction.
#[tokio::test(flavor = "multi_thread")]
async fn lost_servers_cost_errors_and_nothing_else() {
    const TERMINATE: &str = "select count(pg_terminate_backend(pid)) from (
        select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
        and backend_type = 'client backend' and (state = 'active' or state like 'idle in transaction%')
        order by random() limit 1) x";
    let database = Database::create().await;
    load::prepare(&database).await;
    let pooler = base::pooler(&database, CONNECTIONS);
    let mut session = database.session().await;
    let load = Load::default();
    let trouble = async {
        let mut losses = 0;
        while losses < 100 {
            load.comes_on(20).await;
            let lost: i64 =
                sqlx::query_scalar(AssertSqlSafe(TERMINATE)).fetch_one(&mut session).await.expect("a count");
            losses += u32::try_from(lost).expect("one");
        }
        losses
    };
    let (tally, losses) = load.meets(&pooler, trouble).await;
    assert!(tally.errors() > 0, "nothing was hit: what is not a first statement is not tried again");
    assert_unharmed(&pooler, &database, &tally, losses).await;
}

/// The pooler itself is killed and started again, three times.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_pooler_comes_back_by_itself() {
    let stack = Stack::up().await;
    let database = stack.database().await;
    load::prepare(&database).await;
    let pooler = base::pooler(&database, CONNECTIONS);
    let load = Load::default();
    let trouble = async {
        for _ in 0..3 {
            load.comes_on(500).await;
            stack.run("kill-pooler").await;
            a_moment(500).await;
            stack.run("up").await;
        }
        3
    };
    let (tally, losses) = load.meets(&pooler, trouble).await;
    // Every connection is lost at once, between most operations: each may be tried once more, so there may be no error.
    assert_unharmed(&pooler, &database, &tally, losses).await;
}

/// How many connections the relay has, as the kernel reports: its listening socket is one more of that name.
fn relayed(pooler: &Pooler) -> usize {
    let Some(socket) = pooler.relay_socket() else { return 0 };
    let sockets = std::fs::read_to_string("/proc/net/unix").expect("Linux");
    // An abstract name is listed with @ in place of its NUL.
    let name = socket.to_string_lossy().replace('\0', "@");
    sockets.lines().filter(|line| line.ends_with(&*name)).count() - 1
}

/// Connections that die while nobody uses them cost their next users nothing.
#[tokio::test(flavor = "multi_thread")]
async fn lost_idle_connections_are_replaced_without_an_error() {
    let database = Database::create().await;
    let proxy = Proxy::before(&database.database_url(), Cut::Nowhere).await;
    let pooler = door(&proxy.url(), 4, base::wire());
    for round in 0..5 {
        let mut all = Vec::new();
        for _ in 0..4 {
            all.push(pooler.read().await.expect("a connection"));
        }
        drop(all);
        assert!(round > 0 || proxy.connections() >= 4, "the door went another way");
        while proxy.lose_one() {}
        let since = Instant::now();
        while relayed(&pooler) > 0 {
            assert!(since.elapsed() < PATIENCE, "the relay keeps lost connections");
            a_moment(3).await;
        }
        for n in 0..16 {
            assert!(base::is_right(&pooler, 7, n).await.expect("no error"), "{round} {n}");
        }
    }
}

/// The first statement of a transaction is retried on another connection, but not once it has returned a row.
#[tokio::test]
async fn a_statement_that_is_lost_among_its_rows_is_not_repeated() {
    let database = Database::create().await;
    let proxy = Proxy::before(&database.database_url(), Cut::Nowhere).await;
    let pooler = door(&proxy.url(), 1, base::wire());
    let mut tx = pooler.read().await.expect("a transaction");
    let mut rows = sqlx::query("select repeat('x', 1000) from generate_series(1, 100000)").fetch(&mut tx);
    rows.try_next().await.expect("an answer").expect("a row");
    assert!(proxy.lose_one());
    let rest = async {
        while rows.try_next().await?.is_some() {}
        Ok::<_, sqlx::Error>(())
    };
    rest.await.expect_err("the connection is lost");
}
