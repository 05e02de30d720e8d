//! The direct connection: sessions of our own, for what is frequent, for LISTEN, and for migrations.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, TryStreamExt as _};
use sqlx::postgres::{PgListener, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{AssertSqlSafe, Either, Execute, Executor, PgPool, Postgres, SqlStr};

use sqlx_core::ext::async_stream::TryAsyncStream;

use crate::lease::{Lease, pool_options};
use crate::loss::LastLoss;
use crate::tls_tunnel::{TlsTunnel, connect_options};
use crate::tx::{Opener, answer_within, not_available};
use crate::url::ConnectionString;
use crate::{ACQUIRE_TIMEOUT, DirectSettings, Door, Tx, is_connection_loss};

/// How long a connection may be idle before it is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// How long a statement waits for a lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// Sessions of our own: statements are named and cached, LISTEN and advisory locks work. Cheap to clone.
///
/// `&Direct` is an executor for single statements.
#[derive(Debug, Clone)]
pub struct Direct {
    pool: PgPool,
    last_loss: LastLoss,
    statement_timeout: Duration,
    _tunnel: Option<Arc<TlsTunnel>>,
}

impl Door for Direct {
    const OWN_SERVER: bool = true;
}

impl Direct {
    /// Prepares the pool; connections are made when they are needed, and kept.
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
        let set = Arc::<str>::from(set);
        let last_loss = LastLoss::default();
        let suspicion = last_loss.clone();
        let pool = pool_options(max_connections.min(DirectSettings::MOST_CONNECTIONS), IDLE_TIMEOUT, move |age| {
            suspicion.casts_doubt_on(age)
        })
        .after_connect(move |connection, _| {
            let set = set.clone();
            Box::pin(async move { connection.execute(sqlx::raw_sql(AssertSqlSafe(set))).await.map(drop) })
        })
        .connect_lazy_with(options);
        Ok(Self { pool, last_loss, statement_timeout, _tunnel: tunnel })
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
            last_loss: self.last_loss.clone(),
        };
        Tx::open(opener, true).await
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

    /// Borrows a session, for what needs one: session locks, migrations. It is closed when it is dropped, since its user
    /// may leave anything behind.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn session(&self) -> sqlx::Result<Lease> {
        Lease::of_session(&self.pool).await
    }

    /// How long the server may say nothing while an answer is due: it has limits of its own, unless the path is dead.
    fn answer_timeout(&self) -> Duration {
        self.statement_timeout + ACQUIRE_TIMEOUT
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

    /// Whether the database answers.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn ping(&self) -> sqlx::Result<()> {
        let ask = async || sqlx::query("select 1").fetch_one(self).await.map(drop);
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
        Box::pin(TryAsyncStream::new(move |rows| async move {
            let mut lease = Lease::of(&self.pool).await?;
            let mut answers = lease.fetch_many(query).inspect_err(|error| self.note_loss(error));
            while let Ok(answer) = answer_within(self.answer_timeout(), answers.try_next()).await {
                match answer? {
                    Some(answer) => rows.r#yield(answer).await,
                    None => return Ok(()),
                }
            }
            drop(answers);
            lease.close();
            Err(sqlx::Error::PoolTimedOut)
        }))
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: Execute<'q, Postgres> + 'q,
    {
        Box::pin(async move {
            let mut lease = Lease::of(&self.pool).await?;
            if let Ok(answer) = answer_within(self.answer_timeout(), lease.fetch_optional(query)).await {
                return answer.inspect_err(|error| self.note_loss(error));
            }
            lease.close();
            Err(sqlx::Error::PoolTimedOut)
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
