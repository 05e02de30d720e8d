//! What the relay itself does not pass on. The door has a guard of its own in front; here sqlx speaks to the relay.

use doors::{Meaning, Pooler, PoolerWire};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::{assert_that_no_server_remembers, code, counters, number, pipelined, through_relay};
use testing::scripted_pooler::{Script, ScriptedPooler};
use testing::{Database, execute};

/// Each would end a transaction that is not its own, or stay behind on a shared server.
const HARMFUL: [&str; 12] = [
    "set statement_timeout = 1000",
    "set session stm.test = 'x'",
    "listen something",
    "deallocate all",
    "discard all",
    "select pg_advisory_lock(1)",
    "select set_config('stm.test', 'x', false)",
    "create temp table x (n int4)",
    "prepare p as select 1",
    "declare c cursor with hold for select 1",
    "savepoint s",
    "select 1 as n into temp x",
];

async fn refused_in_both_protocols(session: &mut PgConnection, sql: &str) {
    let extended = sqlx::query(AssertSqlSafe(sql)).execute(&mut *session).await.expect_err(sql);
    assert_eq!(code(&extended), "0A000", "{sql}");
    let simple = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *session).await.expect_err(sql);
    assert_eq!(code(&simple), "0A000", "{sql}");
}

#[tokio::test]
async fn what_would_stay_on_a_server_is_refused() {
    let database = Database::create().await;
    execute(&mut database.session().await, "create table t (n int4)").await;
    let pooler = pipelined(&database, 1);
    let mut session = through_relay(&pooler, &database).await;
    for (n, sql) in (0..).zip(HARMFUL) {
        assert_eq!(counters(&pooler).refused, 2 * n, "{sql}");
        refused_in_both_protocols(&mut session, sql).await;
        let one: i32 = sqlx::query_scalar("select 1").fetch_one(&mut session).await.expect("the same connection");
        assert_eq!(one, 1);
    }
    assert_that_no_server_remembers(&database).await;
}

/// A refusal is an error, and an error dooms its transaction, whether the server has heard of it or not.
#[tokio::test]
async fn a_refusal_dooms_its_transaction() {
    let database = Database::create().await;
    execute(&mut database.session().await, "create table t (n int4)").await;
    let pooler = pipelined(&database, 1);
    let mut session = through_relay(&pooler, &database).await;
    for has_begun in [false, true] {
        for sql in HARMFUL {
            execute(&mut session, "begin").await;
            if has_begun {
                sqlx::query("insert into t values (1)").execute(&mut session).await.expect("an insert");
            }
            let refused = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut session).await.expect_err(sql);
            assert_eq!(code(&refused), "0A000", "{sql}");
            let next = sqlx::query("insert into t values (2)").execute(&mut session).await.expect_err(sql);
            assert_eq!(code(&next), "25P02", "{sql}");
            let commit = sqlx::raw_sql("commit").execute(&mut session).await.expect_err(sql);
            assert_eq!(code(&commit), "25P02", "{sql}");
        }
    }
    assert_eq!(number(&database, "select count(*) from t").await, 0);
    assert_that_no_server_remembers(&database).await;
}

#[tokio::test]
async fn the_simple_protocol_only_reads() {
    let database = Database::create().await;
    execute(&mut database.session().await, "create table t (n int4)").await;
    let pooler = pipelined(&database, 1);
    let mut session = through_relay(&pooler, &database).await;
    for sql in [
        "insert into t values (1)",
        "update t set n = 1",
        "with x as (insert into t values (1) returning n) select n from x",
        "begin; insert into t values (1)",
        "begin; insert into t values (1); commit",
        "begin read only; set session statement_timeout = 1",
        "select 1; commit",
        "commit; select 1",
    ] {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut session).await.expect_err(sql);
        let row = sqlx::raw_sql("select 'text' as t, 5 as n").fetch_one(&mut session).await.expect("a row");
        assert_eq!((row.get::<&str, _>("t"), row.get::<i32, _>("n")), ("text", 5), "{sql}");
    }
    assert_eq!(number(&database, "select count(*) from t").await, 0);
    assert_that_no_server_remembers(&database).await;
}

/// COPY ends its connection, or is refused; either way nothing is copied.
#[tokio::test]
async fn nothing_is_copied() {
    let database = Database::create().await;
    execute(&mut database.session().await, "create table t (n int4)").await;
    let pooler = pipelined(&database, 1);
    let session = through_relay(&pooler, &database).await;
    drop(session);
    let mut session = through_relay(&pooler, &database).await;
    let copy_in = session.copy_in_raw("copy t from stdin").await.map(drop).expect_err("copy in");
    assert_eq!(code(&copy_in), "0A000");
    let copy_out = session.copy_out_raw("copy (select 1) to stdout").await.map(drop).expect_err("copy out");
    assert_eq!(code(&copy_out), "0A000");
    assert!(counters(&pooler).refused >= 2);
    session.ping().await.expect("the same connection");
    assert_eq!(number(&database, "select count(*) from t").await, 0);
}

/// A second BEGIN: the two could not be told apart, so the connection ends. What the first one wrote is not stored.
#[tokio::test]
async fn a_transaction_cannot_begin_twice() {
    let database = Database::create().await;
    execute(&mut database.session().await, "create table t (n int4)").await;
    let pooler = pipelined(&database, 1);
    for writes in [false, true] {
        let mut session = through_relay(&pooler, &database).await;
        execute(&mut session, "begin").await;
        if writes {
            sqlx::query("insert into t values (1)").execute(&mut session).await.expect("an insert");
        }
        let twice = sqlx::raw_sql("begin").execute(&mut session).await.expect_err("twice");
        assert_eq!(code(&twice), "25001");
        sqlx::raw_sql("commit").execute(&mut session).await.expect_err("the connection has ended");
    }
    assert_eq!(number(&database, "select count(*) from t").await, 0);
    pooler.ping().await.expect("an answer");
}

/// sqlx's own nested transactions need savepoints, which are not relayed: an error, not a surprise.
#[tokio::test]
async fn there_are_no_nested_transactions() {
    let database = Database::create().await;
    let pooler = pipelined(&database, 1);
    let mut session = through_relay(&pooler, &database).await;
    let mut tx = session.begin().await.expect("a transaction");
    assert_eq!(code(&tx.begin().await.map(drop).expect_err("nested")), "0A000");
    drop(tx);
    session.ping().await.expect("the same connection");
}

/// On a server that has been left listening by somebody else, their messages are nobody's answers.
#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_notifications_disturb_nobody() {
    let database = Database::create().await;
    super::load::prepare(&database).await;
    // Through PgBouncer, as another careless service might: all four servers now listen.
    let mut careless = Vec::new();
    for _ in 0..4 {
        let options: sqlx::postgres::PgConnectOptions = database.database_url().parse().expect("a URL");
        let mut session = PgConnection::connect_with(&options.extra_float_digits(None)).await.expect("a connection");
        execute(&mut session, "begin; listen noise; select 1").await;
        careless.push(session);
    }
    for session in &mut careless {
        execute(session, "commit").await;
    }
    let noise = {
        let mut session = database.session().await;
        tokio::spawn(async move {
            loop {
                execute(&mut session, "select pg_notify('noise', repeat('x', 1000)) from generate_series(1, 3)").await;
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        })
    };
    let pooler: Pooler = pipelined(&database, 16);
    let tally = super::load::run(&pooler, super::load::ALL, |n| n >= 2000).await;
    assert!(!noise.is_finished(), "there was no noise");
    noise.abort();
    tally.assert_all_right(2000);
    assert_eq!(tally.assert_stored(&database).await, 0, "written, but not acknowledged");
}

/// Supavisor reports everything as FATAL XX000: the connection is gone, and the same may succeed later.
#[tokio::test]
async fn what_supavisor_runs_out_of_comes_back() {
    let database = Database::create().await;
    for message in [
        "(EMAXCONN) max client connections reached, limit: 200",
        "(ECHECKOUTTIMEOUT) unable to check out connection from the pool after 60000ms",
        "(EDBHANDLEREXITED) connection to database closed. Check logs for more information",
        "(ECIRCUITBREAKER) too many authentication errors",
    ] {
        for script in [Script::Fails(message), Script::Refuses(message)] {
            let scripted = ScriptedPooler::before(&database.direct_url(), 2, script).await;
            for wire in PoolerWire::ALL {
                let pooler = crate::door(&scripted.url(), 2, wire);
                let alone = pooler.ping().await.expect_err(message);
                let first = async { sqlx::query("select 1").execute(&mut pooler.write().await?).await };
                let first = first.await.expect_err(message);
                for error in [alone, first] {
                    assert_eq!(doors::meaning(&error), Meaning::TryAgainLater, "{script:?} {wire}: {error:?}");
                }
            }
        }
    }
}
