//! Limits on time and size, and large amounts of data.

use std::time::Duration;

use doors::Pooler;
use futures_util::TryStreamExt as _;
use sqlx::Row as _;

use crate::base;
use crate::{assert_that_no_server_remembers, code, door_with, number, pipelined, through_relay};
use testing::{Database, execute};

/// The limit holds in every kind of use, and nobody else inherits it.
#[tokio::test]
async fn a_statement_over_the_limit_is_stopped_everywhere() {
    const SLOW: &str = "select pg_sleep(60)::text";
    let database = Database::create().await;
    let pooler = door_with(&database.database_url(), 2, Duration::from_millis(300), base::wire());
    let single = sqlx::query(SLOW).fetch_one(&pooler).await.expect_err("too slow");
    assert_eq!(code(&single), "57014");
    for write in [false, true] {
        let tx = if write { pooler.write().await } else { pooler.read().await };
        let mut tx = tx.expect("a transaction");
        sqlx::query("select 1").execute(&mut tx).await.expect("fast enough");
        let error = sqlx::query(SLOW).fetch_one(&mut tx).await.expect_err("too slow");
        assert_eq!(code(&error), "57014");
        assert!(tx.commit().await.is_err());
        // Also the statement that begins the transaction.
        let tx = if write { pooler.write().await } else { pooler.read().await };
        let error = sqlx::query(SLOW).fetch_one(&mut tx.expect("a transaction")).await.expect_err("too slow");
        assert_eq!(code(&error), "57014");
    }
    assert_that_no_server_remembers(&database).await;
}

/// Somebody else's lock is not waited for longer than two seconds.
#[tokio::test]
async fn a_lock_is_not_waited_for_long() {
    let database = Database::create().await;
    let mut session = database.session().await;
    execute(&mut session, "create table t (n int4); insert into t values (1)").await;
    execute(&mut session, "begin; lock table t").await;
    let pooler = base::pooler(&database, 2);
    let single = sqlx::query("select n from t").fetch_one(&pooler).await.expect_err("a lock");
    assert_eq!(code(&single), "55P03");
    let mut tx = pooler.write().await.expect("a transaction");
    let update = sqlx::query("update t set n = 2").execute(&mut tx).await.expect_err("a lock");
    assert_eq!(code(&update), "55P03");
    drop(tx);
    execute(&mut session, "rollback").await;
    sqlx::query("select n from t").fetch_one(&pooler).await.expect("a row");
}

#[tokio::test]
async fn nothing_is_written_outside_a_write_transaction() {
    let database = Database::create().await;
    execute(&mut database.session().await, "create table t (n int4)").await;
    let pooler = base::pooler(&database, 2);
    for sql in
        ["insert into t values (1)", "insert into t values (1) returning n", "update t set n = 1", "delete from t"]
    {
        let single = sqlx::query(sql).execute(&pooler).await.expect_err(sql);
        assert_eq!(code(&single), "25006", "{sql}");
        let mut tx = pooler.read().await.expect("a transaction");
        let error = sqlx::query(sql).execute(&mut tx).await.expect_err(sql);
        assert_eq!(code(&error), "25006", "{sql}");
    }
    assert_eq!(number(&database, "select count(*) from t").await, 0);
    assert_that_no_server_remembers(&database).await;
}

#[tokio::test]
async fn sixteen_megabytes_go_there_and_back() {
    const SIZE: usize = 16 << 20;
    let database = Database::create().await;
    execute(&mut database.session().await, "create table t (t text, b bytea)").await;
    let pooler = base::pooler(&database, 2);
    let text: String = (0..SIZE).map(|n| char::from(b'a' + u8::try_from(n % 23).expect("small"))).collect();
    let bytes: Vec<u8> = (0..SIZE).map(|n| u8::try_from(n % 251).expect("small")).collect();
    let back: String = sqlx::query_scalar("select $1::text").bind(&text).fetch_one(&pooler).await.expect("a row");
    assert!(back == text, "another text came back");
    let back: Vec<u8> = sqlx::query_scalar("select $1::bytea").bind(&bytes).fetch_one(&pooler).await.expect("a row");
    assert!(back == bytes, "other bytes came back");
    let mut tx = pooler.write().await.expect("a transaction");
    for sql in ["insert into t (t) values ($1)", "update t set t = $1"] {
        sqlx::query(sql).bind(&text).execute(&mut tx).await.expect("room");
    }
    sqlx::query("update t set b = $1").bind(&bytes).execute(&mut tx).await.expect("room");
    let row = sqlx::query("select t, b from t").fetch_one(&mut tx).await.expect("a row");
    assert!(row.get::<String, _>("t") == text && row.get::<Vec<u8>, _>("b") == bytes);
    tx.commit().await.expect("a commit");
}

/// A request over 32 MiB never leaves; its connection goes on, its transaction does not.
#[tokio::test]
async fn a_request_that_is_too_long_is_refused() {
    let database = Database::create().await;
    execute(&mut database.session().await, "create table t (n int4)").await;
    let pooler = pipelined(&database, 1);
    let bytes = vec![7_u8; 40 << 20];
    let mut session = through_relay(&pooler, &database).await;
    for _ in 0..2 {
        let long = sqlx::query("select length($1::bytea)").bind(&bytes).fetch_one(&mut session).await;
        assert_eq!(code(&long.expect_err("too long")), "54000");
        let one: i32 = sqlx::query_scalar("select 1").fetch_one(&mut session).await.expect("the same connection");
        assert_eq!(one, 1);
    }
    let mut tx = pooler.write().await.expect("a transaction");
    sqlx::query("insert into t values (1)").execute(&mut tx).await.expect("an insert");
    let long = sqlx::query("select length($1::bytea)").bind(&bytes).fetch_one(&mut tx).await;
    assert_eq!(code(&long.expect_err("too long")), "54000");
    assert!(tx.commit().await.is_err());
    assert_eq!(number(&database, "select count(*) from t").await, 0);
    pooler.ping().await.expect("an answer");
}

/// An error that repeats two megabytes of a parameter: whatever becomes of it, it is an error, and the next statement
/// is none the worse.
#[tokio::test]
async fn a_long_error_is_an_error() {
    let database = Database::create().await;
    let pooler = base::pooler(&database, 1);
    let text = "x".repeat(2 << 20);
    for _ in 0..3 {
        let number = sqlx::query("select $1::text::int4").bind(&text).fetch_one(&pooler).await;
        assert_eq!(code(&number.expect_err("not a number")), "22P02", "the database's own word");
        pooler.ping().await.expect("an answer");
    }
}

const ROWS: i32 = 100_000;
const MANY: &str = "select i, 'row ' || i from generate_series(1, 100000) i";

#[tokio::test]
async fn a_hundred_thousand_rows_arrive_in_order() {
    let database = Database::create().await;
    let pooler = base::pooler(&database, 2);
    let mut tx = pooler.read().await.expect("a transaction");
    let mut rows = sqlx::query(MANY).fetch(&mut tx);
    let mut last = 0;
    while let Some(row) = rows.try_next().await.expect("a row") {
        last += 1;
        assert_eq!((row.get::<i32, _>(0), row.get::<String, _>(1)), (last, format!("row {last}")));
    }
    assert_eq!(last, ROWS);
    drop(rows);
    let rows = sqlx::query(MANY).fetch_all(&pooler).await.expect("rows");
    assert!(rows.iter().map(|row| row.get::<i32, _>(0)).eq(1..=ROWS));
}

/// The rest of the rows is passed over, in the same transaction and by the connection's next user.
#[tokio::test]
async fn a_stream_may_be_dropped_half_way() {
    let database = Database::create().await;
    let pooler = base::pooler(&database, 1);
    for taken in [0, 1, 1000, 99_999] {
        let mut tx = pooler.read().await.expect("a transaction");
        for n in 0..2 {
            let mut rows = sqlx::query(MANY).fetch(&mut tx);
            for _ in 0..taken {
                assert!(rows.try_next().await.expect("a row").is_some());
            }
            drop(rows);
            assert!(base::is_right(&mut tx, 7, n).await.expect("an answer"));
        }
        let mut rows = sqlx::query(MANY).fetch(&mut tx);
        for _ in 0..taken {
            assert!(rows.try_next().await.expect("a row").is_some());
        }
        drop(rows);
        drop(tx);
        assert!(base::is_right(&pooler, 8, taken).await.expect("an answer"));
    }
}

/// The most memory this process has had so far, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// 300 MB of rows, read with pauses: the server waits, and this process does not fill up.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_costs_no_memory() {
    const WIDE: &str = "select i, repeat(chr(97 + i % 26), 3000) from generate_series(1, 100000) i";
    let database = Database::create().await;
    let pooler = base::pooler(&database, 2);
    let read = async |pooler: &Pooler| {
        let mut tx = pooler.read().await.expect("a transaction");
        let mut rows = sqlx::query(WIDE).fetch(&mut tx);
        let mut last = 0;
        while let Some(row) = rows.try_next().await.expect("a row") {
            last += 1;
            assert_eq!((row.get::<i32, _>(0), row.get::<&str, _>(1).len()), (last, 3000));
            if last % 10_000 == 5000 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        assert_eq!(last, ROWS);
    };
    pooler.ping().await.expect("an answer");
    let before = peak_kib();
    read(&pooler).await;
    let more = peak_kib() - before;
    println!("{more} KiB more than the {before} before");
    assert!(more < 64 << 10, "{more} KiB");
}

/// While a reader pauses, others are served, on as many servers as are left.
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_reader_stops_nobody_else() {
    let database = Database::create().await;
    let pooler = base::pooler(&database, 8);
    let mut tx = pooler.read().await.expect("a transaction");
    let mut rows = sqlx::query(MANY).fetch(&mut tx);
    assert!(rows.try_next().await.expect("a row").is_some());
    for n in 0..50 {
        assert!(base::is_right(&pooler, 8, n).await.expect("an answer"));
    }
    assert_eq!(rows.try_fold(1, |count, _| async move { Ok(count + 1) }).await.expect("the rest"), ROWS);
}
