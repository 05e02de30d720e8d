//! Time limits that the role has by itself, and those that it has not; and what keeps single reads from writing.

use std::time::{Duration, Instant};

use doors::url::{ConnectionString, Secret};
use doors::{Pooler, PoolerLimits, PoolerSettings, PoolerWire, with_budget};
use sqlx::{Connection as _, PgConnection, Row as _};
use testing::scripted_pooler::{Script, ScriptedPooler};
use testing::{Database, PATIENCE, as_service, execute};

use crate::{base, code, load};

const NAMES: [&str; 3] = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];

fn door(url: &str, settings: &PoolerSettings) -> Pooler {
    let url = ConnectionString::parse(Secret::DatabaseUrl, url).expect("a URL");
    Pooler::new(&url, settings).expect("a door")
}

/// As the service's, of a role whose defaults are at or under these limits.
fn settings(wire: PoolerWire, holds_reads: bool) -> PoolerSettings {
    PoolerSettings { max_connections: 4, wire, holds_reads, ..PoolerSettings::default() }
}

/// A pooler with two servers, which lends the one used last.
async fn scripted(database: &Database) -> ScriptedPooler {
    ScriptedPooler::before(&as_service(&database.direct_url()), 2, Script::FreesWhenAnswered).await
}

/// Alters the service's role in this database alone.
async fn alter_role(database: &Database, what: &str) {
    let url = database.direct_url();
    let name = url.rsplit_once('/').expect("a database").1;
    let mut session = database.session().await;
    execute(&mut session, &format!("alter role stm_service in database {name} {what}")).await;
}

/// Ends every server of the service's role.
async fn end_servers(database: &Database) {
    const END: &str = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and usename = 'stm_service'";
    execute(&mut database.session().await, END).await;
}

/// Has the door look at its servers, all of them in turn, until it leaves all limits to the role but these.
async fn until_door_sets(pooler: &Pooler, limits: &[&str]) {
    let started = Instant::now();
    loop {
        pooler.learn_limits().await;
        // While a transaction holds the server that was used last, another one answers. What was ended is an error.
        if let Ok(mut tx) = pooler.read().await {
            let _gone = sqlx::query("select 1").execute(&mut tx).await;
            pooler.learn_limits().await;
            let _gone = tx.commit().await;
        }
        let words = pooler.limits_in_words();
        if NAMES.iter().all(|name| words.contains(name) == limits.contains(name)) {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{words}, not {limits:?}");
        tokio::task::yield_now().await;
    }
}

/// One of each use of a door.
async fn use_door(pooler: &Pooler) {
    sqlx::query("select n from t where n = $1").bind(1).fetch_optional(pooler).await.expect("a read");
    let mut tx = pooler.read().await.expect("a transaction");
    sqlx::query("select n from t where n = $1").bind(1).fetch_optional(&mut tx).await.expect("a read");
    drop(tx);
    let mut tx = pooler.write().await.expect("a transaction");
    sqlx::query("insert into t values ($1)").bind(1).execute(&mut tx).await.expect("a write");
    tx.commit().await.expect("a commit");
}

/// How often each limit is set in what was sent, and how often a statement is made read-only.
fn set_in(sent: &str) -> ([usize; 3], usize) {
    let count = |name: &str| {
        sent.matches(&format!("set local {name} = ")).count() + sent.matches(&format!("set_config('{name}'")).count()
    };
    (NAMES.map(count), sent.matches("set_config('transaction_read_only'").count())
}

#[tokio::test]
async fn what_the_role_has_is_not_set_again() {
    for wire in PoolerWire::ALL {
        for holds_reads in [true, false] {
            let database = Database::create().await;
            execute(&mut database.session().await, "create table t (n int4)").await;
            let scripted = scripted(&database).await;
            let pooler = door(&scripted.url(), &settings(wire, holds_reads));
            let is_relayed = usize::from(wire == PoolerWire::Pipelined);
            let read_only = if holds_reads { is_relayed } else { 0 };

            // Descriptions, which the relay asks for once.
            use_door(&pooler).await;
            scripted.take_sent();
            use_door(&pooler).await;
            let (set, made) = set_in(&scripted.take_sent());
            assert_eq!((set, made), ([3, 3, 3 - is_relayed], read_only), "{wire}: nobody has asked the role");

            until_door_sets(&pooler, &[]).await;
            scripted.take_sent();
            use_door(&pooler).await;
            assert_eq!(set_in(&scripted.take_sent()), ([0; 3], read_only), "{wire}");

            // Larger than ours, or none: it is set again, and the others are not.
            for value in ["3s", "0"] {
                alter_role(&database, &format!("set lock_timeout = '{value}'")).await;
                until_door_sets(&pooler, &["lock_timeout"]).await;
                scripted.take_sent();
                use_door(&pooler).await;
                assert_eq!(set_in(&scripted.take_sent()), ([0, 3, 0], read_only), "{wire} {value}");
            }
            // The servers are of before all this, and were seen with the role's own value.
            alter_role(&database, "reset lock_timeout").await;
            until_door_sets(&pooler, &[]).await;
        }
    }
}

#[tokio::test]
async fn servers_of_before_a_default_do_not_have_it() {
    let database = Database::create().await;
    alter_role(&database, "set statement_timeout = 0").await;
    let scripted = scripted(&database).await;
    let pooler = door(&scripted.url(), &settings(base::wire(), true));
    until_door_sets(&pooler, &["statement_timeout"]).await;

    alter_role(&database, "set statement_timeout = '4s'").await;
    for _ in 0..3 {
        until_door_sets(&pooler, &["statement_timeout"]).await;
    }
    end_servers(&database).await;
    until_door_sets(&pooler, &[]).await;
}

/// One server has what another client of the role set on it, until it is met.
#[tokio::test]
async fn what_somebody_left_on_a_server_is_found() {
    let database = Database::create().await;
    let scripted = scripted(&database).await;
    let pooler = door(&scripted.url(), &settings(base::wire(), true));
    until_door_sets(&pooler, &[]).await;
    let mut other = PgConnection::connect(&scripted.url()).await.expect("a connection");
    execute(&mut other, "set lock_timeout = 0").await;
    until_door_sets(&pooler, &["lock_timeout"]).await;
    for _ in 0..3 {
        until_door_sets(&pooler, &["lock_timeout"]).await;
    }
    end_servers(&database).await;
    until_door_sets(&pooler, &[]).await;
}

/// The role's own limits stop what outruns them.
#[tokio::test]
async fn a_limit_of_the_role_is_a_limit() {
    const SLOW: &str = "select pg_sleep(60)::text";
    for wire in PoolerWire::ALL {
        let database = Database::create().await;
        let mut session = database.session().await;
        execute(&mut session, "create table t (n int4); insert into t values (1)").await;
        alter_role(&database, "set statement_timeout = '600ms'").await;
        alter_role(&database, "set lock_timeout = '200ms'").await;
        let pooler = door(&database.service_url(), &settings(wire, false));
        until_door_sets(&pooler, &[]).await;
        execute(&mut session, "begin; lock table t").await;
        let single = sqlx::query("select n from t").fetch_one(&pooler).await.expect_err("a lock");
        assert_eq!(code(&single), "55P03", "{wire}");
        execute(&mut session, "rollback").await;
        let single = sqlx::query(SLOW).fetch_one(&pooler).await.expect_err("too slow");
        assert_eq!(code(&single), "57014", "{wire}");
        let mut tx = pooler.write().await.expect("a transaction");
        let error = sqlx::query(SLOW).fetch_one(&mut tx).await.expect_err("too slow");
        assert_eq!(code(&error), "57014", "{wire}");
    }
}

/// A request's budget may end before the relay's own time limit. If the statement has outrun its limit by then, that is
/// noticed. If only little time was left, that says nothing about the server.
#[tokio::test]
async fn a_statement_that_outruns_its_limit_within_a_budget_is_noticed() {
    const LIMIT: Duration = Duration::from_secs(1);
    const SLOW: &str = "select pg_sleep(600)::text";
    for (wire, is_single) in [(PoolerWire::Pipelined, true), (PoolerWire::Pipelined, false), (PoolerWire::Plain, true)]
    {
        let database = Database::create().await;
        alter_role(&database, "set statement_timeout = '1s'").await;
        alter_role(&database, "set lock_timeout = '1s'").await;
        let scripted = scripted(&database).await;
        let pooler = door(&scripted.url(), &PoolerSettings { statement_timeout: LIMIT, ..settings(wire, false) });
        until_door_sets(&pooler, &[]).await;
        let slow = async || {
            let slow = sqlx::query(SLOW);
            if is_single {
                return slow.fetch_one(&pooler).await.expect_err("too slow");
            }
            let mut tx = pooler.write().await.expect("a transaction");
            slow.fetch_one(&mut tx).await.expect_err("too slow")
        };
        let cut = with_budget(LIMIT / 4, slow()).await;
        assert!(matches!(cut, sqlx::Error::PoolTimedOut), "{cut:?}");
        assert!(!pooler.limits_in_words().contains("statement_timeout"), "{wire}: {}", pooler.limits_in_words());

        let mut other = PgConnection::connect(&scripted.url()).await.expect("a connection");
        let started = Instant::now();
        loop {
            execute(&mut other, "set statement_timeout = 0").await;
            if matches!(with_budget(2 * LIMIT, slow()).await, sqlx::Error::PoolTimedOut) {
                break;
            }
            // The pooler assigned the other server.
            assert!(started.elapsed() < PATIENCE, "each has its limit");
        }
        assert!(pooler.limits_in_words().contains("statement_timeout"), "{wire}: {}", pooler.limits_in_words());
    }
}

/// The hazard's load, with nothing in front of any statement.
#[tokio::test(flavor = "multi_thread")]
async fn no_hazard_without_anything_in_front() {
    const OPERATIONS: i32 = 4000;
    for (wire, shapes) in [(PoolerWire::Pipelined, load::ALL), (PoolerWire::Plain, load::COMMON)] {
        let database = Database::create().await;
        load::prepare(&database).await;
        let pooler = door(&database.service_url(), &PoolerSettings { max_connections: 32, ..settings(wire, false) });
        until_door_sets(&pooler, &[]).await;
        let tally = load::run(&pooler, shapes, |n| n >= OPERATIONS).await;
        tally.assert_all_right(OPERATIONS);
        assert_eq!(tally.assert_stored(&database).await, 0, "written, but not acknowledged");
        assert!(!pooler.limits_in_words().contains("statement_timeout"), "{}", pooler.limits_in_words());
    }
}

#[tokio::test]
async fn a_role_without_limits_and_a_door_that_does_not_ask_set_all() {
    let database = Database::create().await;
    let without = base::pooler(&database, 2);
    without.learn_limits().await;
    let not_asking = PoolerSettings { limits: PoolerLimits::Statement, ..settings(base::wire(), false) };
    let not_asking = door(&database.service_url(), &not_asking);
    not_asking.learn_limits().await;
    for (pooler, expected) in [(without, "no default of the role"), (not_asking, "POOLER_LIMITS=statement")] {
        let words = pooler.limits_in_words();
        assert!(NAMES.iter().all(|name| words.contains(name)) && words.contains(expected), "{words}");
    }
}

/// `check`, which `/readyz` calls, asks the role too.
#[tokio::test]
async fn a_check_asks_the_role() {
    let database = Database::create().await;
    let pooler = door(&database.service_url(), &settings(base::wire(), true));
    assert!(pooler.limits_in_words().contains("statement_timeout"));
    pooler.check().await.expect("an answer");
    assert!(!pooler.limits_in_words().contains("statement_timeout"), "{}", pooler.limits_in_words());
}

/// What a text shows to write is refused by the server, with a statement in front of all reads and without.
#[tokio::test]
async fn a_single_read_does_not_write() {
    const READING: &str = "create function f_reads() returns int4 language plpgsql stable as
        $$ begin insert into t values (2); return 1; end $$";
    const WRITING: &str = "create function f_writes() returns int4 language plpgsql volatile as
        $$ begin insert into t values (3); return 1; end $$";
    for wire in PoolerWire::ALL {
        for holds_reads in [true, false] {
            let database = Database::create().await;
            let mut session = database.session().await;
            execute(&mut session, "create table t (n int4, \"insert\" int4, update_at int4); create sequence s").await;
            execute(&mut session, "insert into t values (1, 2, 3)").await;
            execute(&mut session, READING).await;
            execute(&mut session, WRITING).await;
            let pooler = door(&database.service_url(), &settings(wire, holds_reads));
            pooler.learn_limits().await;
            for sql in [
                "insert into t values (1)",
                "with x as (insert into t values (2) returning n) select n from x",
                "update t set n = 4 returning n",
                "delete from t",
                "select n from t for update",
                "select n from t for key share",
                "select nextval('s')",
            ] {
                let single = sqlx::query(sql).fetch_optional(&pooler).await.expect_err(sql);
                assert_eq!(code(&single), "25006", "{wire} {holds_reads} {sql}");
            }
            for sql in ["select \"insert\", update_at from t", "select 'delete from t' -- update t"] {
                sqlx::query(sql).fetch_one(&pooler).await.expect(sql);
            }
            // A function that promises to read is held to that by its language.
            let stable = sqlx::query("select f_reads()").fetch_one(&pooler).await.expect_err("a write");
            assert_eq!(code(&stable), "0A000");
            let volatile = sqlx::query("select f_writes()").fetch_one(&pooler).await;
            let rows = sqlx::query("select n from t order by n").fetch_all(&pooler).await.expect("rows");
            let rows: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
            if wire == PoolerWire::Pipelined && !holds_reads {
                // What only a build for tests refuses: see `PoolerSettings::holds_reads`.
                assert!(volatile.is_ok() && rows == [1, 3], "{rows:?}");
            } else {
                assert_eq!(code(&volatile.expect_err("a write")), "25006", "{wire}");
                assert_eq!(rows, [1]);
            }
        }
    }
}

/// The tests run with the server's help, as every build with debug assertions does.
#[test]
fn tests_hold_reads() {
    assert!(PoolerSettings::default().holds_reads);
}
