//! The hazard of a transaction pooler over more shapes, with one server and with four, and with every stream of bytes
//! cut into pieces. That such a load can go wrong, `doors` shows with plain sqlx.

use doors::PoolerWire;
use tokio::net::UnixListener;

use crate::base;
use crate::load::{self, ALL, COMMON};
use crate::{assert_that_no_server_remembers, counters, door};
use testing::proxy::{Cut, Proxy, serve_unix};
use testing::{Database, Stack};

const OPERATIONS: i32 = 10_000;

fn shapes() -> usize {
    if base::wire() == PoolerWire::Pipelined { ALL } else { COMMON }
}

async fn assert_no_hazard(database: &Database) {
    load::prepare(database).await;
    let tally = load::run(&base::pooler(database, 32), shapes(), |n| n >= OPERATIONS).await;
    tally.assert_all_right(OPERATIONS);
    assert!(tally.acknowledged.len() > 100, "{} writes", tally.acknowledged.len());
    assert_eq!(tally.assert_stored(database).await, 0, "written, but not acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_hazard_with_four_servers() {
    let database = Database::create().await;
    assert_no_hazard(&database).await;
    assert_that_no_server_remembers(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_hazard_with_one_server() {
    let stack = Stack::up_with(&[("POOLER_POOL_SIZE", "1")]).await;
    assert_no_hazard(&stack.database().await).await;
}

/// Both sides of the relay, both directions: 1 to 23 bytes at a time.
#[tokio::test(flavor = "multi_thread")]
async fn no_hazard_when_every_stream_is_cut_into_pieces() {
    const OPERATIONS: i32 = 3000;
    let database = Database::create().await;
    load::prepare(&database).await;
    let behind = Proxy::before(&database.database_url(), Cut::Pieces).await;
    let pooler = door(&behind.url(), 16, PoolerWire::Pipelined);

    let directory = tempfile::tempdir().expect("a directory");
    let listener = UnixListener::bind(directory.path().join(".s.PGSQL.5432")).expect("a socket");
    let ahead = tokio::spawn(serve_unix(listener, pooler.relay_socket().expect("a relay"), Cut::Pieces));
    pooler.connect_through(directory.path());

    let tally = load::run(&pooler, ALL, |n| n >= OPERATIONS).await;
    // Rows that no buffer holds as a whole.
    for n in 0..4_usize {
        let text = format!("{n}").repeat(40_000 + n);
        let back: Vec<String> = sqlx::query_scalar("select $1::text from generate_series(1, 3)")
            .bind(&text)
            .fetch_all(&pooler)
            .await
            .expect("rows");
        assert!(back.len() == 3 && back.iter().all(|back| *back == text), "{n}: another text came back");
    }
    ahead.abort();
    tally.assert_all_right(OPERATIONS);
    assert_eq!(tally.assert_stored(&database).await, 0, "written, but not acknowledged");
    assert!(behind.connections() >= 16, "the load went another way");
    let seen = counters(&pooler);
    assert_eq!((seen.changed, seen.refused), (0, 0), "{seen:?}");
}
