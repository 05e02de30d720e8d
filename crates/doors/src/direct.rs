//! The direct connection: sessions of our own, for frequent statements, for LISTEN, and for migrations.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, TryStreamExt as _};
use sqlx::postgres::{PgListener, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Either, Execute, Executor, Postgres, Row as _, SqlStr};

use sqlx_core::ext::async_stream::TryAsyncStream;

use crate::access;
use crate::budget::{answer_within, within_budget};
use crate::known_columns::KnownColumns;
use crate::lease::Lease;
use crate::loss::LastLoss;
use crate::meaning::{is_stale_statement, of_write};
use crate::pool::{Limits, Pool, PoolStatus};
use crate::tls_tunnel::{TlsTunnel, connect_options};
use crate::tx::{GuardedQuery, Opener, first_row, not_available};
use crate::url::ConnectionString;
use crate::{ACQUIRE_TIMEOUT, Access, DirectSettings, Door, Tx, is_connection_loss};

/// How long a connection may be idle before it is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// How long a statement waits for a lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// Sessions of our own: statements are named and cached, LISTEN and advisory locks work. Cheap to clone.
///
/// `&Direct` is an executor for single statements.
#[derive(Debug, Clone)]
pub struct Direct {
    pool: Pool,
    known_columns: KnownColumns,
    statement_timeout: Duration,
    _tunnel: Option<Arc<TlsTunnel>>,
}

impl Door for Direct {
    const OWN_SERVER: bool = true;
}

impl Direct {
    /// Creates the pool, which connects on demand and keeps its connections. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// A sentence: the tunnel that `sslmode=verify-ca` needs cannot be started.
    pub fn new(url: &ConnectionString, settings: &DirectSettings) -> Result<Self, String> {
        let DirectSettings { max_connections, statement_timeout, application_name, session } = *settings;
        let (options, tunnel) = connect_options(url, application_name)?;
        // Sent as a statement, because a session pooler refuses the start-up parameter `options`.
        let mut set = format!(
            "set statement_timeout = {}; set lock_timeout = {}; set idle_in_transaction_session_timeout = 10000",
            statement_timeout.as_millis(),
            LOCK_TIMEOUT.min(statement_timeout).as_millis()
        );
        for statement in session {
            set.push_str("; ");
            set.push_str(statement);
        }
        let max_connections = max_connections.min(DirectSettings::MOST_CONNECTIONS);
        let limits = Limits { session: Some(set), ..Limits::new(max_connections, IDLE_TIMEOUT) };
        let pool = Pool::new(options, limits, LastLoss::default());
        Ok(Self { pool, known_columns: KnownColumns::default(), statement_timeout, _tunnel: tunnel })
    }

    /// Opens a transaction. End it with [`Tx::commit`].
    ///
    /// # Errors
    /// Those of the database; [`sqlx::Error::PoolTimedOut`] if no connection became free in time.
    pub async fn write(&self) -> sqlx::Result<Tx<Self>> {
        let opener = Opener {
            pool: self.pool.clone(),
            begin: "begin".into(),
            answer_timeout: self.answer_timeout(),
            known_columns: Some(self.known_columns.clone()),
            limits: None,
            writes: true,
        };
        Tx::open(opener, true).await
    }

    /// Listens to a channel, on a separate connection for as long as the listener lives.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn listen(&self, channel: &str) -> sqlx::Result<PgListener> {
        let place = self.pool.place_in_time().await?;
        // sqlx's listener needs a pool of sqlx's. A connection that it returns there may have an answer in flight, so it is
        // closed. The place becomes free with the last handle of that pool, when its connection is gone too.
        let own = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_release(move |_, _| {
                let _kept = &place;
                Box::pin(async { Ok(false) })
            })
            .connect_lazy_with((*self.pool.options()).clone());
        let mut listener = PgListener::connect_with(&own).await?;
        listener.listen(channel).await?;
        Ok(listener)
    }

    /// Borrows a session, for what needs one: session locks, migrations. It is closed when dropped, since its user may
    /// leave anything behind.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn session(&self) -> sqlx::Result<Lease> {
        Ok(self.pool.acquire().await?.into_session())
    }

    /// How long the server may stay silent while an answer is due. Its own limits are shorter, so only a dead path takes
    /// longer.
    fn answer_timeout(&self) -> Duration {
        self.statement_timeout + ACQUIRE_TIMEOUT
    }

    /// Records an error of a single statement. Returns `again` if the statement is to be prepared again.
    fn on_error(&self, error: sqlx::Error, again: Option<GuardedQuery>) -> sqlx::Result<GuardedQuery> {
        if is_connection_loss(&error) {
            self.pool.note_loss();
        }
        let is_stale = is_stale_statement(&error);
        if is_stale {
            self.pool.note_change();
        }
        again.filter(|_| is_stale).ok_or_else(|| of_write(error))
    }

    /// The longest a statement may run.
    #[must_use]
    pub const fn statement_timeout(&self) -> Duration {
        self.statement_timeout
    }

    /// How many connections there may be.
    #[must_use]
    pub fn max_connections(&self) -> usize {
        usize::try_from(self.pool.max_connections()).unwrap_or_default()
    }

    /// The state of the pool.
    #[must_use]
    pub fn pool_status(&self) -> PoolStatus {
        self.pool.status()
    }

    /// Checks that the database answers. Returns whether it accepts writes.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn ping(&self) -> sqlx::Result<Access> {
        match access::ask(self).await {
            // The error only meant that the server had been restarted, not that it is unreachable.
            Err(error) if is_connection_loss(&error) => access::ask(self).await,
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
        let mut query = GuardedQuery::new::<Direct>(query, true);
        Box::pin(TryAsyncStream::new(move |rows| async move {
            let mut again = query.again();
            let mut unchecked = query.prepared_text();
            loop {
                let mut lease = within_budget(self.pool.acquire()).await?;
                let mut answers = lease.fetch_many(query);
                let failed = loop {
                    match answer_within(self.answer_timeout(), answers.try_next()).await {
                        Ok(Ok(Some(answer))) => {
                            again = None;
                            if let Either::Right(row) = &answer
                                && let Some(sql) = unchecked.take()
                            {
                                self.known_columns.check(&sql, row.columns())?;
                            }
                            rows.r#yield(answer).await;
                        }
                        Ok(Ok(None)) => return Ok(()),
                        Ok(Err(error)) => break Ok(error),
                        Err(no_answer) => break Err(no_answer),
                    }
                };
                drop(answers);
                let Ok(error) = failed else {
                    lease.close();
                    return Err(sqlx::Error::PoolTimedOut);
                };
                query = self.on_error(error, again.take())?;
            }
        }))
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
