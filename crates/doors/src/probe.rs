//! Whether a connection string leads to a session or to a transaction pooler.
//!
//! Found out at every start, through two client connections that are closed before the doors open theirs.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};

use crate::tls_tunnel::connect_options;
use crate::url::ConnectionString;

/// How long any one step may take: a pooler without a free server lets us wait for ever.
const STEP_TIMEOUT: Duration = Duration::from_millis(1500);

/// How long connecting may take, encryption and authentication included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the two sessions are compared. A pooler that lends the server used last, or the one idle longest, shows
/// itself at the first comparison; other clients of it may disturb some.
const TURNS: usize = 4;

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
/// Two sessions say by turns which backend serves them, then one of them keeps its backend in a transaction. If both
/// are served by the same one, if a session's backend changes, or if a session starves, servers are shared.
///
/// # Errors
/// Failing to connect, or to get an answer.
pub async fn pooling(url: &ConnectionString, application_name: &str) -> sqlx::Result<Pooling> {
    let (options, _tunnel) =
        connect_options(url, application_name).map_err(|problem| sqlx::Error::Configuration(problem.into()))?;
    let mut session = with_connect_timeout(PgConnection::connect_with(&options)).await?;
    let mut rival = with_connect_timeout(PgConnection::connect_with(&options)).await?;
    let pooling = compare(&mut session, &mut rival).await;
    for session in [session, rival] {
        // A proper end lets the server free its slot at once.
        let _closed = tokio::time::timeout(STEP_TIMEOUT, session.close()).await;
    }
    pooling
}

async fn compare(session: &mut PgConnection, rival: &mut PgConnection) -> sqlx::Result<Pooling> {
    // A busy pooler, or a server that has just woken up, may be slow at first; that alone proves nothing.
    let own = with_connect_timeout(backend(session)).await?;
    let others = with_connect_timeout(backend(rival)).await?;
    for _ in 0..TURNS {
        if own == others || !is_served_by(session, own).await? || !is_served_by(rival, others).await? {
            return Ok(Pooling::Transaction);
        }
    }
    with_connect_timeout(sqlx::raw_sql("begin read only").execute(&mut *rival)).await?;
    if !is_served_by(rival, others).await? {
        return Ok(Pooling::Transaction);
    }
    for _ in 0..TURNS {
        if !is_served_by(session, own).await? {
            return Ok(Pooling::Transaction);
        }
    }
    Ok(Pooling::Session)
}

/// Whether a session is still served by the same backend. One that gets no answer has none of its own.
async fn is_served_by(session: &mut PgConnection, expected: i32) -> sqlx::Result<bool> {
    match with_step_timeout(backend(session)).await {
        Ok(pid) => Ok(pid == expected),
        Err(sqlx::Error::PoolTimedOut) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The process id of the backend that serves this statement. The simple protocol is one message: right on any pooler.
async fn backend(session: &mut PgConnection) -> sqlx::Result<i32> {
    let row = sqlx::raw_sql("select pg_backend_pid()::text").fetch_one(session).await?;
    let pid: String = row.try_get(0)?;
    pid.parse().map_err(|_| sqlx::Error::Protocol("pg_backend_pid() is not a number".into()))
}

async fn with_connect_timeout<T>(step: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::time::timeout(CONNECT_TIMEOUT, step).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

async fn with_step_timeout<T>(step: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::time::timeout(STEP_TIMEOUT, step).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}
