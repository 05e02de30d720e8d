//! The transaction pooler: REST's door.
//!
//! Between two transactions the pooler may assign our server to another client. So a statement that is sent
//! outside a transaction, or under a name that the next server does not know, can run as *somebody else's
//! statement*. Here neither can be expressed. The pool is private. It lends only transactions whose every statement
//! is unnamed, or connections through the [`relay`](crate::relay), where names stay within this process.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Connection as _, Either, Execute, Executor, PgConnection, Postgres, SqlStr};

use crate::access;
use crate::budget::{NoAnswer, answer_within, within_budget};
use crate::lease::END_TIMEOUT;
use crate::limits::{Begin, LimitSet, TimeLimits};
use crate::loss::LastLoss;
use crate::meaning::is_dead;
use crate::pool::{Limits, Pool, PoolStatus};
use crate::relay::{Relay, RelayCounters};
use crate::role::{self, Reading, Role, Verdict};
use crate::tls_tunnel::{TlsTunnel, connect_options};
use crate::tx::{GuardedQuery, Opener, first_row, not_available};
use crate::url::ConnectionString;
use crate::{ACQUIRE_TIMEOUT, Access, Door, PoolerLimits, PoolerSettings, PoolerWire, Tx};

/// How long a connection may be idle before it is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// How often at most [`Pooler::check`] opens a new connection and reads the role's limits.
const CONNECT_EVERY: Duration = Duration::from_secs(10);

/// The most concurrent readings of the role's limits, at start.
const MAX_READINGS: usize = 8;

/// The transaction pooler. Cheap to clone.
///
/// `&Pooler` is itself an executor for a *single reading statement*, which runs in a transaction of its own. There the
/// database refuses a write that its text shows, and with [`PoolerSettings::holds_reads`] any write. All rows are
/// collected before the first is returned, so that a slow consumer does not hold a server.
#[derive(Debug, Clone)]
pub struct Pooler {
    pool: Pool,
    limits: Arc<TimeLimits>,
    /// What is known of the role's own limits; `None` if they are ignored ([`PoolerLimits::Statement`]).
    role: Option<Arc<Mutex<Role>>>,
    begins: Arc<Begins>,
    way: Way,
    /// Longer than the relay's own limit, whose error says what is wrong.
    answer_timeout: Duration,
    /// When [`check`](Self::check) last made a connection.
    last_connected: Arc<tokio::sync::Mutex<Option<Instant>>>,
}

/// How connections reach the pooler; kept alive as long as they are.
#[derive(Debug, Clone)]
enum Way {
    Relay(Arc<Relay>),
    Plain(#[expect(dead_code, reason = "it is kept")] Option<Arc<TlsTunnel>>),
}

#[derive(Debug)]
struct Begins {
    read: Begin,
    write: Begin,
}

impl Door for Pooler {
    const OWN_SERVER: bool = false;
}

impl Pooler {
    /// Creates the pool, which connects on demand. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// A sentence: the relay of [`PoolerWire::Pipelined`], or the tunnel for `sslmode=verify-ca`, cannot be started.
    pub fn new(url: &ConnectionString, settings: &PoolerSettings) -> Result<Self, String> {
        let PoolerSettings { max_connections, statement_timeout, wire, holds_reads, application_name, .. } = *settings;
        let limits = Arc::new(TimeLimits::new(statement_timeout));
        // The pooler may take a while to find a free server, and COMMIT has a limit of its own.
        let answer_timeout = (statement_timeout + ACQUIRE_TIMEOUT).max(END_TIMEOUT);
        let (options, way) = match wire {
            PoolerWire::Plain => {
                let (options, tunnel) = connect_options(url, application_name)?;
                (options.statement_cache_capacity(0), Way::Plain(tunnel))
            }
            PoolerWire::Pipelined => {
                let relay = Relay::start(url, limits.clone(), holds_reads, answer_timeout)?;
                // Names stay within this process: sqlx may use them as on a session.
                (relay.options(url, application_name), Way::Relay(Arc::new(relay)))
            }
        };
        let last_loss = match &way {
            Way::Relay(relay) => relay.last_loss(),
            Way::Plain(_) => LastLoss::default(),
        };
        let pool = Pool::new(options, Limits::new(max_connections, IDLE_TIMEOUT), last_loss);
        let begins = Begins { read: Begin::new("begin read only", &limits), write: Begin::new("begin", &limits) };
        Ok(Self {
            pool,
            limits,
            role: (settings.limits == PoolerLimits::Role).then(Arc::default),
            begins: begins.into(),
            way,
            answer_timeout: answer_timeout + Duration::from_secs(1),
            last_connected: Arc::default(),
        })
    }

    /// Opens a read-only transaction. Drop it to end it: a background task awaits the ROLLBACK, not the caller.
    ///
    /// # Errors
    /// Those of the database; [`sqlx::Error::PoolTimedOut`] if no connection, or none of the pooler's
    /// servers, became free in time.
    pub async fn read(&self) -> sqlx::Result<Tx<Self>> {
        self.begin(self.begins.read.setting(self.limits.set_by_door()), false).await
    }

    /// Opens a transaction that may write. End it with [`Tx::commit`].
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn write(&self) -> sqlx::Result<Tx<Self>> {
        self.begin(self.begins.write.setting(self.limits.set_by_door()), true).await
    }

    /// Checks that the pooler and the database behind it answer. Returns whether the database takes writes.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn ping(&self) -> sqlx::Result<Access> {
        access::ask(self).await
    }

    /// As [`ping`](Self::ping), and every ten seconds at most also opens a new connection: those of the pool may still work
    /// when no other can be opened. It then also reads which time limits the role has.
    ///
    /// # Errors
    /// As [`read`](Self::read), and those of connecting.
    pub async fn check(&self) -> sqlx::Result<Access> {
        // One at a time: of concurrent calls only the first one connects.
        let mut last_connected = self.last_connected.lock().await;
        if last_connected.is_none_or(|last| last.elapsed() >= CONNECT_EVERY) {
            let connection = PgConnection::connect_with(&self.pool.options()).await?;
            let _closed = connection.close().await;
            let before = self.limits.set_by_door();
            self.learn_limits().await;
            if before != self.limits.set_by_door() {
                tracing::info!("{}", self.limits_in_words());
            }
            *last_connected = Some(Instant::now());
        }
        drop(last_connected);
        self.ping().await
    }

    /// Where time limits come from at the moment, in a sentence for a log.
    #[must_use]
    pub fn limits_in_words(&self) -> String {
        let by_door = self.limits.set_by_door();
        if by_door == LimitSet::default() {
            return "time limits of statements come from the defaults of the role".to_owned();
        }
        let why = match self.role {
            Some(_) if by_door == LimitSet::ALL => "no default of the role is at or under them on every server",
            Some(_) => "the role has the others",
            None => "POOLER_LIMITS=statement",
        };
        format!("time limits ride with each statement: {} ({why})", by_door.names())
    }

    /// Reads which time limits the servers already have, and no longer sets those. Returns how many more servers must be
    /// seen before further limits can be left to the role.
    #[doc(hidden)]
    pub async fn learn_limits(&self) -> usize {
        let Some(role) = &self.role else { return 0 };
        let reading = self.read_role().await;
        let mut role = role.lock().unwrap_or_else(PoisonError::into_inner);
        if self.limits.take_doubt() {
            role.doubt_all();
        }
        let Verdict { held, unseen } = match reading {
            Ok(reading) => role.learn(&reading, &self.limits),
            Err(_) => role.doubt_all(),
        };
        self.limits.leave_to_role(held);
        unseen
    }

    /// Reads the limits of `unseen` servers concurrently, as far as the pooler assigns different ones.
    pub(crate) async fn learn_limits_of(&self, unseen: usize) {
        // One of the readings may get the server that has been seen already.
        let readings = if unseen == 0 { 0 } else { (unseen + 1).min(MAX_READINGS) };
        futures_util::future::join_all((0..readings).map(|_| self.learn_limits())).await;
    }

    /// Reads the role's limits in a transaction that sets none, since it would read those instead.
    async fn read_role(&self) -> sqlx::Result<Reading> {
        let mut tx = self.begin(self.begins.read.setting(LimitSet::default()), false).await?;
        role::read(&mut tx).await
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

    /// What the relay has done so far; `None` without a relay.
    #[must_use]
    pub fn relay_counters(&self) -> Option<RelayCounters> {
        self.relay().map(Relay::counters)
    }

    /// Whether the relay accepts connections, if there is one.
    #[must_use]
    pub fn is_accepting(&self) -> bool {
        self.relay().is_none_or(Relay::is_accepting)
    }

    /// Routes new connections through the socket in this directory, for tests that intercept them.
    #[doc(hidden)]
    pub fn connect_through(&self, directory: &std::path::Path) {
        self.pool.set_options((*self.pool.options()).clone().socket(directory));
    }

    /// The relay's socket, if there is a relay, for tests that intercept its connections.
    #[doc(hidden)]
    #[must_use]
    pub fn relay_socket(&self) -> Option<std::path::PathBuf> {
        self.relay().map(Relay::socket)
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
            limits: Some(self.limits.clone()),
            writes,
        };
        Tx::open(opener, self.is_pipelined()).await
    }

    /// All results of a single reading statement.
    async fn answers(&self, query: GuardedQuery) -> Vec<sqlx::Result<Either<PgQueryResult, PgRow>>> {
        if !self.is_pipelined() {
            return match self.read().await {
                Ok(mut tx) => tx.fetch_many(query).collect().await,
                Err(error) => vec![Err(error)],
            };
        }
        // It is meant to read only, so it may be retried once if its connection turns out to be dead.
        let again = query.again();
        let rows = self.fetch_alone(query).await;
        match (rows.last(), again) {
            (Some(Err(error)), Some(again)) if is_dead(error) => self.fetch_alone(again).await,
            _ => rows,
        }
    }

    /// Runs a single statement, which the relay sends as one request.
    async fn fetch_alone(&self, query: GuardedQuery) -> Vec<sqlx::Result<Either<PgQueryResult, PgRow>>> {
        let mut lease = match within_budget(self.pool.acquire()).await {
            Ok(lease) => lease,
            Err(error) => return vec![Err(error)],
        };
        let answers = answer_within(Duration::MAX, lease.fetch_many(query).collect()).await;
        answers.unwrap_or_else(|NoAnswer { waited }| {
            // The request's budget may end before the relay's own time limit.
            self.limits.doubt_after(waited);
            lease.close();
            vec![Err(sqlx::Error::PoolTimedOut)]
        })
    }
}

impl<'c> Executor<'c> for &'c Pooler {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'c: 'e,
        E: Execute<'q, Postgres> + 'q,
    {
        let rows = Box::pin(self.answers(GuardedQuery::new::<Pooler>(query, self.is_pipelined())));
        Box::pin(stream::once(rows).flat_map(stream::iter))
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: Execute<'q, Postgres> + 'q,
    {
        let query = GuardedQuery::new::<Pooler>(query, self.is_pipelined());
        Box::pin(async move { first_row(stream::iter(self.answers(query).await)).await })
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
