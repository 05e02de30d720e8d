//! Is there a transaction pooler behind a connection string, and does it track prepared statements?
//!
//! Learned through client connections only, at every start. An answer is a fact about now, not a promise;
//! so `named` needs the operator's wish *and* this proof.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Row};

use super::url::ConnectionString;
use super::wire::{Wire, without_relay};

/// How long any one step may take: a pooler without a free server lets us wait for ever.
const STEP_TIMEOUT: Duration = Duration::from_millis(1500);

/// How long connecting may take, encryption and authentication included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Other sessions that are opened beside the observed one: three hold a server each.
const RIVALS: usize = 3;

/// How a connection string pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// A server is ours for one transaction at a time.
    Transaction,
    /// A server is ours as long as we are connected: PostgreSQL itself, or a session pooler.
    Session,
}

/// Finds out how `url` pools.
///
/// One session is observed while up to three rivals take a server each: if two sessions report the same
/// backend, if the observed one's backend changes, or if it starves, servers are shared. A rival's own trouble
/// proves nothing, and is reported as what it is.
///
/// # Errors
/// Failing to connect, or to get an answer.
pub async fn pooling(url: &ConnectionString) -> sqlx::Result<Pooling> {
    let application_name = match url.secret() {
        super::url::Secret::DatabaseUrl => "stm-pooler",
        super::url::Secret::DirectUrl => "stm-direct",
    };
    let (options, _tunnel) = options(url, application_name)?;
    let mut observed = connect(&options).await?;
    let own = patiently(ask_backend(&mut observed)).await?;
    let mut rivals = Vec::with_capacity(RIVALS);
    let mut verdict = Pooling::Session;
    while verdict == Pooling::Session && rivals.len() < RIVALS {
        let mut rival = connect(&options).await?;
        if shares_a_server(&mut observed, own, &mut rival).await? {
            verdict = Pooling::Transaction;
        }
        rivals.push(rival);
    }
    for session in rivals.into_iter().chain([observed]) {
        // Dropped sockets would also do; a proper end lets the server free its slot at once.
        let _closed = tokio::time::timeout(STEP_TIMEOUT, session.close()).await;
    }
    Ok(verdict)
}

async fn shares_a_server(observed: &mut PgConnection, own: i32, rival: &mut PgConnection) -> sqlx::Result<bool> {
    if patiently(ask_backend(rival)).await? == own {
        return Ok(true);
    }
    // Holds its server until the connection ends.
    patiently(sqlx::raw_sql("begin read only").execute(&mut *rival)).await?;
    if patiently(ask_backend(rival)).await? == own {
        return Ok(true);
    }
    for _ in 0..5 {
        match backend(observed).await {
            Ok(pid) if pid == own => {}
            Ok(_) | Err(sqlx::Error::PoolTimedOut) => return Ok(true),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Does the transaction pooler at `url` track prepared statements?
///
/// In one transaction, and so on one server, a named statement with a random marker is executed. A pooler
/// that tracks names has given it one of its own; one that does not has let ours through. Then the same
/// name is bound again while its server is held by somebody else. Anything unexpected counts as *no*.
pub async fn tracks_names(url: &ConnectionString) -> bool {
    let Ok((options, _tunnel)) = options(url, "stm-pooler") else { return false };
    let options = options.statement_cache_capacity(10);
    matches!(renames_statements(&options).await, Ok(true))
        && matches!(survives_a_change_of_server(&options).await, Ok(true))
}

async fn renames_statements(options: &PgConnectOptions) -> sqlx::Result<bool> {
    let marker = format!("probe_{:032x}", rand::random::<u128>());
    let mut session = connect(options).await?;
    simple(&mut session, "begin read only").await?;
    let marked = AssertSqlSafe(format!("select '{marker}' || $1::text"));
    let answer: String = within(sqlx::query_scalar(marked).bind("x").fetch_one(&mut session)).await?;
    let named = format!(
        "select name from pg_prepared_statements where statement like '%{marker}%' and statement not like '%pg_prepared_statements%'"
    );
    let names = simple(&mut session, &named).await?;
    let renamed = !names.is_empty()
        && names.iter().all(|row| row.try_get::<String, _>(0).is_ok_and(|name| !name.starts_with("sqlx_s_")));
    // Leaves nothing behind, while still on the server that it was prepared on.
    within(session.clear_cached_statements()).await?;
    simple(&mut session, "rollback").await?;
    Ok(renamed && answer == format!("{marker}x"))
}

/// With a single server there is nothing to change to; then the renaming decides.
async fn survives_a_change_of_server(options: &PgConnectOptions) -> sqlx::Result<bool> {
    const ASK: &str = "select pg_backend_pid(), $1::text";
    async fn ask(session: &mut PgConnection, argument: &str) -> sqlx::Result<(i32, String)> {
        within(sqlx::query_as(ASK).bind(argument).fetch_one(session)).await
    }

    let mut session = connect(options).await?;
    let (first, _) = ask(&mut session, "first").await?;
    let mut holders = Vec::new();
    let mut held = false;
    while !held && holders.len() <= RIVALS {
        let mut holder = connect(options).await?;
        if simple(&mut holder, "begin read only").await.is_err() {
            break;
        }
        held = backend(&mut holder).await? == first;
        holders.push(holder);
    }
    match ask(&mut session, "second").await {
        Ok((pid, argument)) => Ok(argument == "second" && (!held || pid != first)),
        Err(sqlx::Error::PoolTimedOut) => Ok(true),
        Err(error) => Err(error),
    }
}

fn options(url: &ConnectionString, application_name: &str) -> sqlx::Result<(PgConnectOptions, Option<Arc<Wire>>)> {
    without_relay(url, application_name).map_err(|problem| sqlx::Error::Configuration(problem.into()))
}

async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    patiently(PgConnection::connect_with(options)).await
}

async fn backend(session: &mut PgConnection) -> sqlx::Result<i32> {
    within(ask_backend(session)).await
}

async fn ask_backend(session: &mut PgConnection) -> sqlx::Result<i32> {
    let row = sqlx::raw_sql("select pg_backend_pid()::text").fetch_one(session).await?;
    let pid: String = row.try_get(0)?;
    pid.parse().map_err(|_| sqlx::Error::Protocol("pg_backend_pid() is not a number".into()))
}

/// The simple protocol is one message: right on any pooler.
async fn simple(session: &mut PgConnection, sql: &str) -> sqlx::Result<Vec<PgRow>> {
    within(sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(session)).await
}

/// A busy pooler, or a server that has just woken up, may be slow; that alone proves nothing.
async fn patiently<T>(step: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::time::timeout(CONNECT_TIMEOUT, step).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

async fn within<T>(step: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::time::timeout(STEP_TIMEOUT, step).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}
