//! Whether a connection string leads to a session or to a transaction pooler.
//!
//! Found out at every start, through two client connections that are closed before the doors open theirs.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};

use crate::tls_tunnel::connect_options;
use crate::url::ConnectionString;

/// How long a session may wait while another one keeps a server: a pooler without a free server lets it wait for ever.
const STEP_TIMEOUT: Duration = Duration::from_millis(1500);

/// How long connecting may take, encryption and authentication included; and an answer that should come.
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
/// Two sessions take turns reporting which backend serves them, then one of them keeps its backend in a transaction. If
/// both are served by the same one, if a session's backend changes, or if the other session starves, servers are shared.
/// A pooler that lends each client the same server again, and has a free one for each, looks like a session.
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
    let own = backend(session).await?;
    let others = backend(rival).await?;
    for _ in 0..TURNS {
        if own == others || backend(session).await? != own || backend(rival).await? != others {
            return Ok(Pooling::Transaction);
        }
    }
    // Once could be a slow network.
    for _ in 0..2 {
        begin(rival).await?;
        if backend(rival).await? != others {
            return Ok(Pooling::Transaction);
        }
        let starves = starves(session, own).await?;
        with_connect_timeout(sqlx::raw_sql("rollback").execute(&mut *rival)).await?;
        match starves {
            Starves::No => return Ok(Pooling::Session),
            Starves::ServedByAnother => return Ok(Pooling::Transaction),
            Starves::NoAnswer => {
                backend(session).await?;
            }
        }
    }
    Ok(Pooling::Transaction)
}

/// What becomes of a session while another one keeps a server.
enum Starves {
    No,
    ServedByAnother,
    NoAnswer,
}

async fn starves(session: &mut PgConnection, own: i32) -> sqlx::Result<Starves> {
    for _ in 0..TURNS {
        match tokio::time::timeout(STEP_TIMEOUT, backend(session)).await {
            Ok(pid) if pid.as_ref().is_ok_and(|pid| *pid == own) => {}
            Ok(pid) => return pid.map(|_| Starves::ServedByAnother),
            Err(_) => return Ok(Starves::NoAnswer),
        }
    }
    Ok(Starves::No)
}

async fn begin(rival: &mut PgConnection) -> sqlx::Result<()> {
    with_connect_timeout(sqlx::raw_sql("begin read only").execute(rival)).await.map(drop)
}

/// The process id of the backend that serves this statement. The simple protocol is one message: right on any pooler.
async fn backend(session: &mut PgConnection) -> sqlx::Result<i32> {
    // A busy pooler, or a server that has just woken up, may be slow; that alone proves nothing.
    let row = with_connect_timeout(sqlx::raw_sql("select pg_backend_pid()::text").fetch_one(session)).await?;
    let pid: String = row.try_get(0)?;
    pid.parse().map_err(|_| sqlx::Error::Protocol("pg_backend_pid() is not a number".into()))
}

async fn with_connect_timeout<T>(step: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::time::timeout(CONNECT_TIMEOUT, step).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}
