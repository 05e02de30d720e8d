//! What the relay counts, what it keeps, and what it leaves behind.

use std::time::Instant;

use doors::{Pooler, RelayCounters};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::{base, code, counters, door, number, pipelined, through_relay};
use testing::proxy::{Cut, Proxy};
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

    // The server never sees a transaction that executes nothing.
    drop(pooler.read().await.expect("a transaction"));
    expected.held = 1;
    expected.forgotten = 1;
    until(&pooler, expected).await;
    pooler.write().await.expect("a transaction").commit().await.expect("a commit of nothing");
    expected.held = 2;
    expected.forgotten = 2;
    until(&pooler, expected).await;

    // It does see one that executes something.
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

/// The socket has no file, so nobody can remove it, and it ends with its door.
#[tokio::test]
async fn a_socket_lives_as_long_as_its_door() {
    let database = Database::create().await;
    let pooler = pipelined(&database, 2);
    let socket = pooler.relay_socket().expect("a relay");
    assert!(socket.as_os_str().as_encoded_bytes().starts_with(b"\0"), "{socket:?} is a file");
    pooler.ping().await.expect("an answer");

    let clone = pooler.clone();
    drop(pooler);
    clone.ping().await.expect("an answer");
    drop(clone);
    let started = Instant::now();
    while UnixStream::connect(&socket).await.is_ok() {
        assert!(started.elapsed() < PATIENCE, "{socket:?} stays");
        tokio::task::yield_now().await;
    }
}

/// Abstract names are open to everybody on the machine: another process is turned away without a word.
#[tokio::test(flavor = "multi_thread")]
async fn no_other_process_is_served() {
    const CONNECT: &str = r#"
        $SIG{PIPE} = "IGNORE";
        socket(my $socket, AF_UNIX, SOCK_STREAM, 0) || die $!;
        connect($socket, pack_sockaddr_un("\0$ARGV[0]")) || die $!;
        syswrite $socket, pack("NN", 8, 80877103);
        print "said ", length(join "", <$socket>);"#;
    let database = Database::create().await;
    let pooler = pipelined(&database, 2);
    let socket = pooler.relay_socket().expect("a relay");
    let name = socket.to_string_lossy().trim_start_matches('\0').to_owned();
    // A request for encryption, which this process has an answer to.
    let mut ours = UnixStream::connect(&socket).await.expect("a connection");
    ours.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await.expect("a request");
    assert_eq!(ours.read_u8().await.expect("an answer"), b'N');

    let connects = move || std::process::Command::new("perl").args(["-MSocket", "-e", CONNECT, &name]).output();
    let output = tokio::task::spawn_blocking(connects).await.expect("a task").expect("perl");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "said 0", "{output:?}");
    pooler.ping().await.expect("an answer");
}

/// Connections of the pool live on when no new one can be made: a check finds out.
#[tokio::test]
async fn a_check_tries_a_new_connection() {
    let database = Database::create().await;
    let proxy = Proxy::before(&database.database_url(), Cut::Nowhere).await;
    let pooler = door(&proxy.url(), 1, base::wire());
    pooler.ping().await.expect("an answer");
    proxy.close_to_new();
    pooler.ping().await.expect("the connection that there is");
    pooler.check().await.expect_err("no new connection");
    pooler.check().await.expect_err("and it stays so");
}

#[tokio::test]
async fn checks_at_once_make_one_connection() {
    let database = Database::create().await;
    let proxy = Proxy::before(&database.database_url(), Cut::Nowhere).await;
    let pooler = door(&proxy.url(), 1, base::wire());
    pooler.ping().await.expect("an answer");
    let before = proxy.connections();
    let checks = futures_util::future::join_all((0..20).map(|_| pooler.check())).await;
    assert!(checks.iter().all(Result::is_ok), "{checks:?}");
    assert_eq!(proxy.connections(), before + 1);
}
