//! The direct connection: the door of Socket.IO and of migrations.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, TryFutureExt as _};
use futures_util::stream::{BoxStream, TryStreamExt as _};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgListener, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{AssertSqlSafe, Connection, Either, Execute, Executor, PgPool, Postgres, SqlStr};

use super::loss::LastLoss;
use super::tx::not_available;
use super::url::ConnectionString;
use super::wire::{Wire, without_relay};
use super::{ACQUIRE_TIMEOUT, Door, PING_AFTER_IDLE, Tx, is_connection_loss};

/// The most direct connections one process may hold, whatever it uses them for: Supabase gives about 15.
pub const MAX_CONNECTIONS: u32 = 15;

/// How long a statement waits for a lock: a batch of messages must not wait long for one chat.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// Sessions of our own: statements are named and cached, LISTEN and advisory locks work. Cheap to clone.
///
/// `&Direct` is an executor for single statements.
#[derive(Debug, Clone)]
pub struct Direct {
    pool: PgPool,
    last_loss: LastLoss,
    statement_timeout: Duration,
    _tunnel: Option<Arc<Wire>>,
}

impl Door for Direct {
    const OWN_SERVER: bool = true;
}

impl Direct {
    /// Prepares the pool; connections are made when they are needed, and kept.
    ///
    /// # Errors
    /// A sentence: the tunnel that `sslmode=verify-ca` needs cannot be started.
    pub fn new(url: &ConnectionString, max_connections: u32, statement_timeout: Duration) -> Result<Self, String> {
        let (options, tunnel) = without_relay(url, "stm-direct")?;
        // Sent as a statement, because a session pooler refuses the start-up parameter `options`.
        // Every statement here finds its rows by an index. A plan that is made while a table is still empty would
        // rather scan it, and is kept until the table is analyzed: a hundred times slower by then.
        let limits = Arc::<str>::from(format!(
            "set statement_timeout = {}; set lock_timeout = {}; set idle_in_transaction_session_timeout = 10000; \
             set plan_cache_mode = force_generic_plan; set jit = off; set enable_seqscan = off",
            statement_timeout.as_millis(),
            LOCK_TIMEOUT.min(statement_timeout).as_millis()
        ));
        let last_loss = LastLoss::default();
        let suspicion = last_loss.clone();
        let pool = PgPoolOptions::new()
            .max_connections(max_connections.min(MAX_CONNECTIONS))
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(Duration::from_secs(600))
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                let limits = limits.clone();
                Box::pin(async move { connection.execute(sqlx::raw_sql(AssertSqlSafe(limits))).await.map(drop) })
            })
            .before_acquire(move |connection, meta| {
                let is_suspect = suspicion.casts_doubt_on(meta.age);
                Box::pin(async move {
                    if meta.idle_for < PING_AFTER_IDLE && !is_suspect {
                        return Ok(true);
                    }
                    Ok(connection.ping().await.is_ok())
                })
            })
            .connect_lazy_with(options);
        Ok(Self { pool, last_loss, statement_timeout, _tunnel: tunnel })
    }

    /// Opens a transaction. End it with [`Tx::commit`].
    ///
    /// Runs in a task of its own, for the same reason as the pooler's.
    ///
    /// # Errors
    /// Those of the database; [`sqlx::Error::PoolTimedOut`] if no connection became free in time.
    pub async fn write(&self) -> sqlx::Result<Tx<Self>> {
        let pool = self.pool.clone();
        let task = tokio::spawn(async move {
            Tx::begin(pool.acquire().await?, SqlStr::from_static("begin"), true, ACQUIRE_TIMEOUT).await
        });
        task.await.map_err(|_| sqlx::Error::WorkerCrashed)?
    }

    /// Listens to a channel, on a connection of its own for as long as the listener lives.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn listen(&self, channel: &str) -> sqlx::Result<PgListener> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen(channel).await?;
        Ok(listener)
    }

    /// Borrows a session, for what needs one: session locks, migrations.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn session(&self) -> sqlx::Result<PoolConnection<Postgres>> {
        self.pool.acquire().await
    }

    fn note_loss(&self, error: &sqlx::Error) {
        if is_connection_loss(error) {
            self.last_loss.note();
        }
    }

    /// The longest a statement may run.
    #[must_use]
    pub const fn statement_timeout(&self) -> Duration {
        self.statement_timeout
    }

    /// How many connections there may be.
    #[must_use]
    pub fn max_connections(&self) -> usize {
        usize::try_from(self.pool.options().get_max_connections()).unwrap_or_default()
    }

    /// Does the database answer?
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn ping(&self) -> sqlx::Result<()> {
        let ask = async || sqlx::query!("select 1 as one").fetch_one(self).await.map(drop);
        match ask().await {
            // It said that the server was restarted, not that it is away.
            Err(error) if is_connection_loss(&error) => ask().await,
            answered => answered,
        }
    }

    /// Closes every connection, waiting for those in use.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl<'c> Executor<'c> for &'c Direct {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'c: 'e,
        E: Execute<'q, Postgres> + 'q,
    {
        Box::pin(self.pool.fetch_many(query).inspect_err(|error| self.note_loss(error)))
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: Execute<'q, Postgres> + 'q,
    {
        Box::pin(self.pool.fetch_optional(query).inspect_err(|error| self.note_loss(error)))
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
