//! The doors on real servers: `DATABASE_URL` and `DIRECT_URL` say where a PgBouncer and its PostgreSQL are; every test makes
//! a database of its own there. `make test` sets that up, and runs these with each setting of `POOLER_WIRE`.
//!
//! What must hold with any setting runs with the one under test ([`base::wire`]); what only the relay does names it.

#![allow(clippy::expect_used, missing_docs, reason = "tests fail by panicking")]

mod base;
mod both_doors;
mod cancellation;
mod changes;
mod counters;
mod hazard;
mod limits;
mod load;
mod losses;
mod pool;
mod put_in_order;
mod read_only;
mod refusals;
mod role;
mod stalls;
mod storm;
mod tls;

use std::time::Duration;

use doors::PoolerWire;
use doors::url::{ConnectionString, Secret};
use doors::{Pooler, RelayCounters, sqlstate};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use testing::Database;

/// A door to any URL.
fn door(url: &str, connections: u32, wire: PoolerWire) -> Pooler {
    door_with(url, connections, base::STATEMENT_TIMEOUT, wire)
}

fn door_with(url: &str, connections: u32, statement_timeout: Duration, wire: PoolerWire) -> Pooler {
    let url = ConnectionString::parse(Secret::DatabaseUrl, url).expect("a URL");
    base::door_to(&url, connections, statement_timeout, wire)
}

/// With the relay, whatever the setting under test.
fn pipelined(database: &Database, connections: u32) -> Pooler {
    door(&database.database_url(), connections, PoolerWire::Pipelined)
}

fn counters(pooler: &Pooler) -> RelayCounters {
    pooler.relay_counters().expect("a relay")
}

/// A session of plain sqlx through the relay of `pooler`: nothing but the relay checks what it sends.
async fn through_relay(pooler: &Pooler, database: &Database) -> PgConnection {
    let socket = pooler.relay_socket().expect("a relay");
    let options: PgConnectOptions = database.database_url().parse().expect("a URL");
    let options = options
        .socket(socket.parent().expect("a directory"))
        .port(5432)
        .ssl_mode(PgSslMode::Disable)
        .extra_float_digits(None);
    PgConnection::connect_with(&options).await.expect("a connection through the relay")
}

/// The database's SQLSTATE; no other error is expected.
#[track_caller]
fn code(error: &sqlx::Error) -> String {
    sqlstate(error).unwrap_or_else(|| panic!("not an answer of the database: {error:?}")).into_owned()
}

/// A number, asked of PostgreSQL itself.
async fn number(database: &Database, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(&mut database.session().await)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// None of the pooler's four servers has kept anything of its clients.
async fn assert_that_no_server_remembers(database: &Database) {
    const LEFT: &str = "select concat_ws(' ',
            current_setting('statement_timeout'), current_setting('lock_timeout'),
            current_setting('idle_in_transaction_session_timeout'), current_setting('transaction_read_only'),
            coalesce(nullif(current_setting('stm.test', true), ''), 'unset'),
            (select count(*) from pg_prepared_statements), (select count(*) from pg_listening_channels()),
            (select count(*) from pg_locks l, pg_database d
              where l.locktype = 'advisory' and l.database = d.oid and d.datname = current_database()))";
    let url = ConnectionString::parse(Secret::DatabaseUrl, &database.database_url()).expect("a URL");
    let plain: PgPool = PgPoolOptions::new().max_connections(4).connect_lazy_with(url.options("plain-sqlx"));
    let mut pinned = Vec::new();
    for _ in 0..4 {
        let mut session = plain.acquire().await.expect("a connection");
        sqlx::raw_sql("begin").execute(&mut *session).await.expect("a server");
        let row = sqlx::raw_sql(LEFT).fetch_one(&mut *session).await.expect("a row");
        assert_eq!(sqlx::Row::get::<String, _>(&row, 0), "0 0 0 off unset 0 0 0");
        pinned.push(session);
    }
    for mut session in pinned {
        sqlx::raw_sql("rollback").execute(&mut *session).await.expect("an end");
    }
}
