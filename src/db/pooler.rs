//! The transaction pooler: REST's door.
//!
//! Between two transactions the pooler may hand our server to somebody else. So a statement that travels
//! outside a transaction, or under a name that the next server does not know, can run as *somebody else's
//! statement*. Here neither can be written: the pool is private, and what it gives out is a transaction
//! whose every statement is unnamed, or a way through the relay of [`wire`](super::wire), where names stay within
//! this process.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use sqlx::postgres::{PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{AssertSqlSafe, Connection, Either, Execute, Executor, PgPool, Postgres, SqlSafeStr as _, SqlStr};

use super::tx::{COMMIT_TIMEOUT, Through, not_available};
use super::url::ConnectionString;
use super::wire::{Wire, WireCounters, without_relay};
use super::{ACQUIRE_TIMEOUT, Door, PING_AFTER_IDLE, Tx, sqlstate};
use crate::config::{PoolerStatements, PoolerWire};

/// Tells this door's connections apart in `pg_stat_activity`.
const APPLICATION_NAME: &str = "stm-pooler";

/// How long a statement waits for a lock before it gives up.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a transaction may sit idle, holding one of the pooler's few servers.
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// The transaction pooler. Cheap to clone.
///
/// `&Pooler` is itself an executor for a *single reading statement*: it runs in a read-only transaction of
/// its own, so a write is refused by the database, and its rows are collected before they are handed on, so
/// that a slow reader does not hold a server.
#[derive(Debug, Clone)]
pub struct Pooler {
    pool: PgPool,
    begin: Arc<Begin>,
    named: bool,
    is_pipelined: bool,
    statement_timeout: Duration,
    /// The relay, or a tunnel.
    wire: Option<Arc<Wire>>,
}

/// The messages that open a transaction; the time limits ride along.
#[derive(Debug)]
struct Begin {
    read: Arc<str>,
    write: Arc<str>,
}

impl Door for Pooler {
    const OWN_SERVER: bool = false;
}

impl Pooler {
    /// Prepares the pool; connections are made when they are needed.
    ///
    /// # Errors
    /// A sentence: the relay of [`PoolerWire::Pipelined`], or the tunnel for `sslmode=verify-ca`, cannot be started.
    pub fn new(
        url: &ConnectionString,
        max_connections: u32,
        statement_timeout: Duration,
        statements: PoolerStatements,
        wire: PoolerWire,
    ) -> Result<Self, String> {
        let limits = limits(statement_timeout);
        let is_pipelined = wire == PoolerWire::Pipelined;
        let (mut options, wire) = match wire {
            PoolerWire::Plain => without_relay(url, APPLICATION_NAME)?,
            PoolerWire::Pipelined => {
                // The pooler may need a while to find a free server; and COMMIT has a limit of its own.
                let answer_timeout = (statement_timeout + ACQUIRE_TIMEOUT).max(COMMIT_TIMEOUT);
                let wire = Wire::start(url, &limits, answer_timeout)?;
                (wire.options(url, APPLICATION_NAME), Some(Arc::new(wire)))
            }
        };
        // Behind the relay the names stay within this process: sqlx may use them as on a session.
        let named = is_pipelined || statements == PoolerStatements::Named;
        if !named {
            options = options.statement_cache_capacity(0);
        }
        let suspicion = wire.clone();
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(Duration::from_secs(300))
            .test_before_acquire(false)
            .before_acquire(move |connection, meta| {
                let is_suspect = suspicion.as_ref().is_some_and(|wire| wire.casts_doubt_on(meta.age));
                Box::pin(async move {
                    if meta.idle_for < PING_AFTER_IDLE && !is_suspect {
                        return Ok(true);
                    }
                    Ok(connection.ping().await.is_ok())
                })
            })
            .connect_lazy_with(options);
        Ok(Self { pool, begin: Arc::new(Begin::new(&limits)), named, is_pipelined, statement_timeout, wire })
    }

    /// Opens a read-only transaction. End it by dropping it: that costs the caller no round trip.
    ///
    /// # Errors
    /// Those of the database; [`sqlx::Error::PoolTimedOut`] if no connection, or none of the pooler's
    /// servers, became free in time.
    pub async fn read(&self) -> sqlx::Result<Tx<Self>> {
        self.begin(self.begin.read.clone()).await
    }

    /// Opens a transaction that may write. End it with [`Tx::commit`].
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn write(&self) -> sqlx::Result<Tx<Self>> {
        self.begin(self.begin.write.clone()).await
    }

    /// Does the pooler, and the database behind it, answer?
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn ping(&self) -> sqlx::Result<()> {
        sqlx::query!("select 1 as one").fetch_one(self).await.map(drop)
    }

    /// What the relay has done so far; `None` if there is none.
    #[must_use]
    pub fn wire_counters(&self) -> Option<WireCounters> {
        self.wire.as_ref().and_then(|wire| wire.counters())
    }

    /// The socket of the relay, if there is one: for tests, which come between.
    #[doc(hidden)]
    #[must_use]
    pub fn wire_socket(&self) -> Option<std::path::PathBuf> {
        self.wire.as_ref().filter(|_| self.is_pipelined).map(|wire| wire.socket())
    }

    /// May this statement run without a transaction? A plain `select` where the pooler tracks names, and anything
    /// where the relay makes it read-only.
    fn needs_no_transaction(&self, query: &Through) -> bool {
        self.is_pipelined || query.is_named_select()
    }

    /// Without a transaction there is no `set local`: the limit on a statement is kept on this side. The relay has
    /// one of its own, which leaves the server time to say what is wrong.
    async fn within_limit<T>(&self, statement: impl Future<Output = T>) -> sqlx::Result<T> {
        if self.is_pipelined {
            return Ok(statement.await);
        }
        tokio::time::timeout(self.statement_timeout, statement).await.map_err(|_| sqlx::Error::PoolTimedOut)
    }

    /// Runs in a task of its own, because a `begin` that is dropped half-way leaves an open transaction to
    /// the connection's next borrower, whose writes are then never committed
    /// (<https://github.com/launchbadge/sqlx/issues/4385>; delete when a released sqlx holds the fix).
    ///
    /// A pooled connection that turns out to be dead has carried out nothing, so the next one is tried: after
    /// a restart of the pooler every idle connection is dead.
    async fn begin(&self, begin: Arc<str>) -> sqlx::Result<Tx<Self>> {
        let (pool, named) = (self.pool.clone(), self.named);
        let task = tokio::spawn(async move {
            let mut dead_connections_left = pool.options().get_max_connections();
            loop {
                let connection = pool.acquire().await?;
                let begin = AssertSqlSafe(begin.clone()).into_sql_str();
                match Tx::begin(connection, begin, named, ACQUIRE_TIMEOUT).await {
                    Err(error) if is_dead(&error) && dead_connections_left > 0 => dead_connections_left -= 1,
                    opened => return opened,
                }
            }
        });
        task.await.map_err(|_| sqlx::Error::WorkerCrashed)?
    }
}

/// Did the connection die before it carried anything out? A pooler's own complaints (08P01) are not that:
/// trying them again would multiply the load on a database that is in trouble.
fn is_dead(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_)) || sqlstate(error).as_deref() == Some("57P01")
}

/// Settings that bound a statement, in milliseconds.
fn limits(statement_timeout: Duration) -> [(&'static str, String); 2] {
    [("statement_timeout", statement_timeout), ("lock_timeout", LOCK_TIMEOUT.min(statement_timeout))]
        .map(|(name, limit)| (name, limit.as_millis().to_string()))
}

impl Begin {
    fn new(limits: &[(&str, String)]) -> Self {
        let mut set =
            format!("; set local idle_in_transaction_session_timeout = {}", IDLE_IN_TRANSACTION_TIMEOUT.as_millis());
        for (name, limit) in limits {
            let _infallible = write!(set, "; set local {name} = {limit}");
        }
        Self { read: format!("begin read only{set}").into(), write: format!("begin{set}").into() }
    }
}

impl<'c> Executor<'c> for &'c Pooler {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'c: 'e,
        E: Execute<'q, Postgres> + 'q,
    {
        let query = Through::new::<Pooler>(query, self.named);
        let rows = async move {
            if self.needs_no_transaction(&query) {
                return self
                    .within_limit(self.pool.fetch_many(query).collect::<Vec<_>>())
                    .await
                    .unwrap_or_else(|error| vec![Err(error)]);
            }
            match self.read().await {
                Ok(mut tx) => tx.fetch_many(query).collect::<Vec<_>>().await,
                Err(error) => vec![Err(error)],
            }
        };
        Box::pin(stream::once(rows).flat_map(stream::iter))
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: Execute<'q, Postgres> + 'q,
    {
        let query = Through::new::<Pooler>(query, self.named);
        Box::pin(async move {
            if self.needs_no_transaction(&query) {
                return self.within_limit(self.pool.fetch_optional(query)).await?;
            }
            self.read().await?.fetch_optional(query).await
        })
    }

    fn prepare_with<'e>(self, _sql: SqlStr, _parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'c: 'e,
    {
        Box::pin(async { Err(not_available("prepare")) })
    }

    fn describe<'e>(self, _sql: SqlStr) -> BoxFuture<'e, sqlx::Result<sqlx::Describe<Postgres>>>
    where
        'c: 'e,
    {
        Box::pin(async { Err(not_available("describe")) })
    }
}
