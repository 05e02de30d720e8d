//! The transaction pooler: REST's door.
//!
//! Between two transactions the pooler may hand our server to somebody else. So a statement that travels
//! outside a transaction, or under a name that the next server does not know, can run as *somebody else's
//! statement*. Here neither can be written: the pool is private, and what it lends is a transaction
//! whose every statement is unnamed, or a way through the relay of [`relay`](crate::relay), where names stay within
//! this process.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Either, Execute, Executor, Postgres, SqlStr};

use crate::access;
use crate::budget::{NoAnswer, answer_within, within_budget};
use crate::lease::END_TIMEOUT;
use crate::local_socket;
use crate::meaning::is_dead;
use crate::pool::{Limits, Pool, PoolStatus};
use crate::relay::{Relay, RelayCounters};
use crate::tls_tunnel::{TlsTunnel, connect_options};
use crate::tx::{GuardedQuery, Opener, first_row, not_available};
use crate::url::ConnectionString;
use crate::{ACQUIRE_TIMEOUT, Access, Door, PoolerSettings, PoolerWire, Tx};

/// The longest a statement waits for a lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a connection may be idle before it is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// How long a transaction may sit idle, holding one of the pooler's few servers.
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// How often [`Pooler::check`] makes a connection of its own.
const CONNECT_EVERY: Duration = Duration::from_secs(10);

/// The transaction pooler. Cheap to clone.
///
/// `&Pooler` is itself an executor for a *single reading statement*: it runs in a read-only transaction of
/// its own, so a write is refused by the database, and its rows are collected before they are handed on, so
/// that a slow reader does not hold a server.
#[derive(Debug, Clone)]
pub struct Pooler {
    pool: Pool,
    begin: Arc<Begin>,
    way: Way,
    /// Longer than the relay's own limit, which has words for what is wrong.
    answer_timeout: Duration,
    /// When [`check`](Self::check) last made a connection.
    last_connected: Arc<Mutex<Option<Instant>>>,
}

/// What lives as long as the connections that go through it.
#[derive(Debug, Clone)]
enum Way {
    Relay(Arc<Relay>),
    Plain(#[expect(dead_code, reason = "it is kept")] Option<Arc<TlsTunnel>>),
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
    /// Prepares the pool; connections are made when they are needed. Within a Tokio runtime.
    ///
    /// # Errors
    /// A sentence: the relay of [`PoolerWire::Pipelined`], or the tunnel for `sslmode=verify-ca`, cannot be started.
    pub fn new(url: &ConnectionString, settings: &PoolerSettings) -> Result<Self, String> {
        let PoolerSettings { max_connections, statement_timeout, wire, application_name } = *settings;
        let limits = limits(statement_timeout);
        // The pooler may need a while to find a free server; and COMMIT has a limit of its own.
        let answer_timeout = (statement_timeout + ACQUIRE_TIMEOUT).max(END_TIMEOUT);
        let (options, way) = match wire {
            PoolerWire::Plain => {
                let (options, tunnel) = connect_options(url, application_name)?;
                (options.statement_cache_capacity(0), Way::Plain(tunnel))
            }
            PoolerWire::Pipelined => {
                let relay = Relay::new(url, &limits, answer_timeout)?;
                // Names stay within this process: sqlx may use them as on a session.
                (local_socket::options(url, application_name), Way::Relay(Arc::new(relay)))
            }
        };
        let relay = match &way {
            Way::Relay(relay) => Some(relay.clone()),
            Way::Plain(_) => None,
        };
        let pool = Pool::new(options, relay, Limits::new(max_connections, IDLE_TIMEOUT));
        let begin = Arc::new(Begin::new(&limits));
        Ok(Self {
            pool,
            begin,
            way,
            answer_timeout: answer_timeout + Duration::from_secs(1),
            last_connected: Arc::default(),
        })
    }

    /// Opens a read-only transaction. End it by dropping it: the ROLLBACK is awaited behind the scenes, not by the caller.
    ///
    /// # Errors
    /// Those of the database; [`sqlx::Error::PoolTimedOut`] if no connection, or none of the pooler's
    /// servers, became free in time.
    pub async fn read(&self) -> sqlx::Result<Tx<Self>> {
        self.begin(&self.begin.read, false).await
    }

    /// Opens a transaction that may write. End it with [`Tx::commit`].
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn write(&self) -> sqlx::Result<Tx<Self>> {
        self.begin(&self.begin.write, true).await
    }

    /// Whether the pooler, and the database behind it, answer, and take writes.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn ping(&self) -> sqlx::Result<Access> {
        access::ask(self).await
    }

    /// As [`ping`](Self::ping), and now and then also whether a new connection can be made: those of the pool may live on
    /// when no other can.
    ///
    /// # Errors
    /// As [`read`](Self::read), and those of connecting.
    pub async fn check(&self) -> sqlx::Result<Access> {
        let last = *self.last_connected.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= CONNECT_EVERY) {
            self.pool.try_to_connect().await?;
            *self.last_connected.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        self.ping().await
    }

    /// The state of the pool.
    #[must_use]
    pub fn pool_status(&self) -> PoolStatus {
        self.pool.status()
    }

    /// Closes every connection, waiting for those in use.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// What the relay has done so far; `None` if there is none.
    #[must_use]
    pub fn relay_counters(&self) -> Option<RelayCounters> {
        self.relay().map(Relay::counters)
    }

    /// Has new connections go through the socket in this directory: for tests, which come between.
    #[doc(hidden)]
    pub fn connect_through(&self, directory: &std::path::Path) {
        self.pool.set_options((*self.pool.options()).clone().socket(directory));
    }

    /// A socket by which the relay, if there is one, serves whoever connects: for tests, which come between.
    #[doc(hidden)]
    #[must_use]
    pub fn relay_socket(&self) -> Option<std::path::PathBuf> {
        self.relay().and_then(Relay::socket)
    }

    fn relay(&self) -> Option<&Relay> {
        match &self.way {
            Way::Relay(relay) => Some(relay),
            Way::Plain(_) => None,
        }
    }

    fn is_pipelined(&self) -> bool {
        self.relay().is_some()
    }

    async fn begin(&self, begin: &Arc<str>, writes: bool) -> sqlx::Result<Tx<Self>> {
        let opener = Opener {
            pool: self.pool.clone(),
            begin: begin.clone(),
            answer_timeout: self.answer_timeout,
            known_columns: None,
            writes,
        };
        Tx::open(opener, self.is_pipelined()).await
    }

    /// A single statement, which the relay makes one read-only request.
    async fn fetch_alone(&self, query: GuardedQuery) -> Vec<sqlx::Result<Either<PgQueryResult, PgRow>>> {
        let mut lease = match within_budget(self.pool.acquire()).await {
            Ok(lease) => lease,
            Err(error) => return vec![Err(error)],
        };
        let answers = answer_within(Duration::MAX, lease.fetch_many(query).collect()).await;
        answers.unwrap_or_else(|NoAnswer| {
            lease.close();
            vec![Err(sqlx::Error::PoolTimedOut)]
        })
    }
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
        let query = GuardedQuery::new::<Pooler>(query, self.is_pipelined());
        let rows = async move {
            if !self.is_pipelined() {
                return match self.read().await {
                    Ok(mut tx) => tx.fetch_many(query).collect().await,
                    Err(error) => vec![Err(error)],
                };
            }
            // It can only read, so it may be tried once more if its connection turns out to be dead.
            let again = query.again();
            let rows = self.fetch_alone(query).await;
            match (rows.last(), again) {
                (Some(Err(error)), Some(again)) if is_dead(error) => self.fetch_alone(again).await,
                _ => rows,
            }
        };
        Box::pin(stream::once(rows).flat_map(stream::iter))
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: Execute<'q, Postgres> + 'q,
    {
        Box::pin(first_row(self.fetch_many(query)))
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
