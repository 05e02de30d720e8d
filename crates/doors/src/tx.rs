//! A transaction that remembers which door it came through.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, Stream, TryStreamExt as _};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTransactionManager, PgTypeInfo};
use sqlx::{Either, Execute, Executor, PgConnection, Postgres, Row as _, SqlStr};
use sqlx_core::ext::async_stream::TryAsyncStream;
use sqlx_core::transaction::TransactionManager as _;
use tokio::time::timeout;

use crate::ACQUIRE_TIMEOUT;
use crate::budget::{NoAnswer, answer_within, within_budget};
use crate::known_columns::KnownColumns;
use crate::lease::{END_TIMEOUT, Lease};
use crate::limits::TimeLimits;
use crate::meaning::{is_connection_loss, is_dead, is_stale_statement, of_write};
use crate::pool::Pool;
use crate::to_its_end::to_its_end;

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::Pooler {}
    impl Sealed for crate::Direct {}
}

/// A way to the database: [`Pooler`](crate::Pooler) or [`Direct`](crate::Direct).
pub trait Door: sealed::Sealed + Send + Sync + 'static {
    /// Whether the server is ours alone, so that any statement may be sent.
    const OWN_SERVER: bool;
}

/// Opens transactions: the pool, and the message that begins one.
#[derive(Debug, Clone)]
pub(super) struct Opener {
    pub pool: Pool,
    pub begin: Arc<str>,
    /// How long the server may stay silent while an answer is due.
    pub answer_timeout: Duration,
    /// The columns of named statements on sessions; `None` where there are no such statements.
    pub known_columns: Option<KnownColumns>,
    /// Limits that the role's defaults may provide; `None` where each session sets its own.
    pub limits: Option<Arc<TimeLimits>>,
    /// Whether the transactions are meant to write.
    pub writes: bool,
}

impl Opener {
    /// A `begin` on a dead connection has carried out nothing, so the next connection is tried: after a restart every
    /// idle one is dead.
    async fn open(&self) -> sqlx::Result<Lease> {
        let mut dead_connections_left = self.pool.max_connections();
        let opened = async {
            loop {
                let lease = self.pool.acquire().await?;
                match to_its_end(begin_on(lease, self.begin.clone())).await {
                    Err(error) if is_dead(&error) && dead_connections_left > 0 => dead_connections_left -= 1,
                    opened => return opened,
                }
            }
        };
        within_budget(opened).await
    }
}

/// Must run to completion: a connection whose `begin` is dropped half-way has to be closed
/// (<https://github.com/launchbadge/sqlx/issues/4385>).
async fn begin_on(mut lease: Lease, begin: Arc<str>) -> sqlx::Result<Lease> {
    timeout(ACQUIRE_TIMEOUT, lease.begin(begin)).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
    Ok(lease)
}

/// An open transaction. If it is dropped without [`commit`](Self::commit), a separate task rolls it back, and the caller
/// does not wait. The connection returns to its pool when the ROLLBACK has been answered.
pub struct Tx<D> {
    /// `None` once the connection is lost.
    lease: Option<Lease>,
    /// Whether a statement has failed: nothing more is sent, and nothing is committed.
    is_aborted: bool,
    named: bool,
    opener: Opener,
    /// Whether a statement has been sent. Until then the transaction can be reopened.
    has_begun: bool,
    door: PhantomData<fn() -> D>,
}

impl<D> std::fmt::Debug for Tx<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tx")
    }
}

impl<D: Door> Tx<D> {
    /// Opens a transaction. Its statements have names if `named`.
    ///
    /// If the connection turns out to be dead when the first statement is sent, the statement is retried once on another
    /// one. Nothing is committed yet, so repeating it is safe unless it acts outside the transaction.
    pub(super) async fn open(opener: Opener, named: bool) -> sqlx::Result<Self> {
        let lease = Some(opener.open().await?);
        Ok(Self { lease, is_aborted: false, named, opener, has_begun: false, door: PhantomData })
    }

    /// Commits. An error leaves the outcome unknown: COMMIT may or may not have been carried out.
    ///
    /// Runs to completion even if the caller stops waiting.
    ///
    /// # Errors
    /// Those of the database, including deferred constraints, and the loss of the connection. A transaction
    /// in which a statement has failed cannot be committed: nothing of it is stored.
    pub async fn commit(self) -> sqlx::Result<()> {
        let Self { lease: Some(mut lease), is_aborted, .. } = self else { return Err(sqlx::Error::WorkerCrashed) };
        if is_aborted {
            return Err(has_failed());
        }
        let commit = async move {
            let committed = timeout(END_TIMEOUT, PgTransactionManager::commit(&mut lease)).await;
            if !matches!(committed, Ok(Ok(()))) {
                lease.close();
            }
            committed.unwrap_or(Err(sqlx::Error::PoolTimedOut))
        };
        within_budget(to_its_end(commit)).await
    }

    /// The connection, for a statement.
    fn connection(&mut self) -> sqlx::Result<&mut PgConnection> {
        if self.is_aborted {
            return Err(has_failed());
        }
        self.lease.as_deref_mut().ok_or(sqlx::Error::WorkerCrashed)
    }

    /// A copy of the query if it is the transaction's first, which may be retried once.
    fn second_chance(&mut self, query: &GuardedQuery) -> Option<GuardedQuery> {
        if std::mem::replace(&mut self.has_begun, true) { None } else { query.again() }
    }

    /// Records an error. If `again` is `Some`, and the connection is dead or its prepared statement is outdated, reopens the
    /// transaction and returns `again` to be sent. Otherwise returns the error.
    async fn on_error(&mut self, error: sqlx::Error, again: Option<GuardedQuery>) -> sqlx::Result<GuardedQuery> {
        // An error from before anything was sent leaves the transaction as it is.
        let is_lost = is_connection_loss(&error);
        if is_lost || error.as_database_error().is_some() {
            self.is_aborted = true;
        }
        if is_lost {
            self.opener.pool.note_loss();
        }
        let is_stale = is_stale_statement(&error);
        if is_stale && D::OWN_SERVER {
            self.opener.pool.note_change();
        }
        let Some(again) = again.filter(|_| is_stale || is_dead(&error)) else {
            return Err(if self.opener.writes { of_write(error) } else { error });
        };
        // Frees its place in the pool, which the next connection needs.
        if let Some(lease) = self.lease.take() {
            lease.close();
        }
        self.lease = Some(self.opener.open().await?);
        self.is_aborted = false;
        Ok(again)
    }

    /// Closes the connection. If the statement has outrun its limit, the server's limits become doubtful.
    fn on_no_answer(&mut self, no_answer: &NoAnswer) -> sqlx::Error {
        self.is_aborted = true;
        if let Some(limits) = &self.opener.limits {
            limits.doubt_after(no_answer.waited);
        }
        if let Some(lease) = self.lease.take() {
            lease.close();
        }
        sqlx::Error::PoolTimedOut
    }
}

fn has_failed() -> sqlx::Error {
    sqlx::Error::Configuration("a statement of this transaction has failed: nothing is stored".into())
}

/// A query as its door lets it through: the caller's text and arguments, without a statement prepared elsewhere.
pub(super) struct GuardedQuery {
    sql: SqlStr,
    arguments: Option<Arguments>,
    named: bool,
}

type Arguments = Result<Option<PgArguments>, BoxDynError>;

impl GuardedQuery {
    pub(super) fn new<'q, D: Door>(mut query: impl Execute<'q, Postgres>, named: bool) -> Self {
        let named = named && query.persistent();
        let mut arguments = query.take_arguments();
        let sql = query.sql();
        if !D::OWN_SERVER {
            arguments = arguments.and_then(|arguments| allowed(&sql, arguments));
        }
        Self { sql, arguments: Some(arguments), named }
    }

    /// The text, if it is prepared on the server.
    pub(super) fn prepared_text(&self) -> Option<SqlStr> {
        matches!(self.arguments, Some(Ok(Some(_)))).then(|| self.sql.clone())
    }

    /// A copy of the query for a retry; `None` if it is raw SQL or cannot be sent at all.
    pub(super) fn again(&self) -> Option<Self> {
        // Without arguments it is raw SQL, which could commit.
        let Some(Ok(Some(arguments))) = &self.arguments else { return None };
        Some(Self { sql: self.sql.clone(), arguments: Some(Ok(Some(arguments.clone()))), named: self.named })
    }
}

fn allowed(sql: &SqlStr, arguments: Option<PgArguments>) -> Arguments {
    // Without arguments, even empty ones, sqlx would use the simple protocol.
    if arguments.is_none() {
        return Err("the simple protocol (raw_sql, or a bare string) is not allowed through the transaction pooler: use sqlx::query".into());
    }
    crate::guard::check(sql.as_str())?;
    Ok(arguments)
}

impl Execute<'_, Postgres> for GuardedQuery {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&PgStatement> {
        None
    }

    fn take_arguments(&mut self) -> Arguments {
        self.arguments.take().unwrap_or_else(|| Err("the arguments of a query can be taken once".into()))
    }

    /// sqlx sends a statement unnamed only if it is not persistent, and the `query!` macros cannot request that themselves.
    fn persistent(&self) -> bool {
        self.named
    }
}

impl<'c, D: Door> Executor<'c> for &'c mut Tx<D> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'c: 'e,
        E: Execute<'q, Postgres> + 'q,
    {
        let mut query = GuardedQuery::new::<D>(query, self.named);
        Box::pin(TryAsyncStream::new(move |rows| async move {
            let limit = self.opener.answer_timeout;
            let mut again = self.second_chance(&query);
            let mut unchecked = self.opener.known_columns.clone().zip(query.prepared_text());
            loop {
                let mut answers = self.connection()?.fetch_many(query);
                let failed = loop {
                    match answer_within(limit, answers.try_next()).await {
                        Ok(Ok(Some(answer))) => {
                            again = None;
                            if let Either::Right(row) = &answer
                                && let Some((known, sql)) = unchecked.take()
                                && let Err(error) = known.check(&sql, row.columns())
                            {
                                drop(answers);
                                self.is_aborted = true;
                                return Err(error);
                            }
                            rows.r#yield(answer).await;
                        }
                        Ok(Ok(None)) => return Ok(()),
                        Ok(Err(error)) => break Ok(error),
                        Err(no_answer) => break Err(no_answer),
                    }
                };
                drop(answers);
                query = match failed {
                    Ok(error) => self.on_error(error, again.take()).await?,
                    Err(no_answer) => return Err(self.on_no_answer(&no_answer)),
                };
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

/// The first row of a query's results, once all of them have arrived without an error.
pub(super) async fn first_row(
    mut answers: impl Stream<Item = sqlx::Result<Either<PgQueryResult, PgRow>>> + Unpin,
) -> sqlx::Result<Option<PgRow>> {
    let mut first = None;
    while let Some(answer) = answers.try_next().await? {
        first = first.or(answer.right());
    }
    Ok(first)
}

/// The error of preparing a statement apart from executing it, which no door offers: `query!` does both.
pub(super) fn not_available(what: &str) -> sqlx::Error {
    sqlx::Error::Configuration(format!("{what} is not available: execute the query itself").into())
}
