//! A transaction that remembers which door it came through.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, TryStreamExt as _};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTransactionManager, PgTypeInfo};
use sqlx::{AssertSqlSafe, Either, Execute, Executor, PgPool, Postgres, SqlSafeStr as _, SqlStr};
use sqlx_core::ext::async_stream::TryAsyncStream;
use sqlx_core::transaction::TransactionManager as _;
use tokio::time::timeout;

use crate::ACQUIRE_TIMEOUT;
use crate::lease::{END_TIMEOUT, Lease};

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
    pub pool: PgPool,
    pub begin: Arc<str>,
    /// How many dead connections are passed over: a `begin` that met one has carried out nothing.
    pub dead_connections: u32,
}

impl Opener {
    /// Runs in a task of its own, because a `begin` that is dropped half-way leaves an open transaction to the
    /// connection's next borrower, whose writes are then never committed
    /// (<https://github.com/launchbadge/sqlx/issues/4385>; delete when a released sqlx holds the fix).
    async fn open(&self) -> sqlx::Result<Lease> {
        let opener = self.clone();
        let task = tokio::spawn(async move {
            let mut dead_connections_left = opener.dead_connections;
            loop {
                match opener.begin_on(Lease::of(&opener.pool).await?).await {
                    Err(error) if is_dead(&error) && dead_connections_left > 0 => dead_connections_left -= 1,
                    opened => return opened,
                }
            }
        });
        task.await.map_err(|_| sqlx::Error::WorkerCrashed)?
    }

    async fn begin_on(&self, mut lease: Lease) -> sqlx::Result<Lease> {
        let begin = AssertSqlSafe(self.begin.clone()).into_sql_str();
        let begun = timeout(ACQUIRE_TIMEOUT, PgTransactionManager::begin(&mut lease, Some(begin))).await;
        if let Ok(begun) = begun {
            return begun.map(|()| lease);
        }
        // Its transaction may be open.
        lease.close();
        Err(sqlx::Error::PoolTimedOut)
    }
}

/// Whether the connection died before it answered. A pooler's own complaints (08P01) and time limits (08000, by the
/// relay) are not that: trying again would multiply the load on a database that is in trouble.
pub(super) fn is_dead(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_)) || matches!(crate::sqlstate(error).as_deref(), Some("57P01" | "08006"))
}

/// An open transaction. Dropped without [`commit`](Self::commit), it is rolled back by a task of its own, off the
/// caller's path; the connection goes back to its pool when the ROLLBACK has been answered.
pub struct Tx<D> {
    lease: Lease,
    /// Whether the database has refused a statement: then it answers COMMIT with success, and rolls back.
    is_aborted: AtomicBool,
    named: bool,
    /// How to open the transaction anew, until its first statement has been sent.
    opener: Option<Opener>,
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
    /// If the connection turns out to be dead when the first statement is sent, that is tried once more on another one:
    /// what has not been committed has no effect.
    pub(super) async fn open(opener: Opener, named: bool) -> sqlx::Result<Self> {
        let lease = opener.open().await?;
        Ok(Self { lease, is_aborted: AtomicBool::new(false), named, opener: Some(opener), door: PhantomData })
    }

    /// Commits. An error leaves the outcome unknown: COMMIT may or may not have been carried out.
    ///
    /// Runs to its end even if the caller stops waiting.
    ///
    /// # Errors
    /// Those of the database, among them deferred constraints, and the loss of the connection. A transaction
    /// in which a statement has failed cannot be committed: nothing of it is stored.
    pub async fn commit(self) -> sqlx::Result<()> {
        let Self { mut lease, is_aborted, .. } = self;
        if is_aborted.into_inner() {
            return Err(sqlx::Error::Configuration(
                "a statement of this transaction has failed: nothing is stored".into(),
            ));
        }
        let commit = async move {
            let committed = timeout(END_TIMEOUT, PgTransactionManager::commit(&mut lease)).await;
            if !matches!(committed, Ok(Ok(()))) {
                lease.close();
            }
            committed.unwrap_or(Err(sqlx::Error::PoolTimedOut))
        };
        tokio::spawn(commit).await.map_err(|_| sqlx::Error::WorkerCrashed)?
    }

    /// Whether to try once more after `error`, the answer to the statement for which `opener` was kept. If so, the
    /// transaction is opened anew.
    async fn reopen(&mut self, error: &sqlx::Error, opener: &Opener) -> sqlx::Result<bool> {
        if !is_dead(error) {
            return Ok(false);
        }
        self.lease = opener.open().await?;
        Ok(true)
    }
}

/// Notes that the database has refused a statement, if that is what `error` says.
fn note_refusal(is_aborted: &AtomicBool, error: &sqlx::Error) {
    if error.as_database_error().is_some() {
        is_aborted.store(true, Ordering::Relaxed);
    }
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

    /// The same query, to be tried once more; `None` if it cannot be sent at all.
    pub(super) fn again(&self) -> Option<Self> {
        let Some(Ok(arguments)) = &self.arguments else { return None };
        Some(Self { sql: self.sql.clone(), arguments: Some(Ok(arguments.clone())), named: self.named })
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

    /// Only a statement that is not persistent travels unnamed; the `query!` macros cannot say so themselves.
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
        let query = GuardedQuery::new::<D>(query, self.named);
        let Some((opener, again)) = self.opener.take().zip(query.again()) else {
            let is_aborted = &self.is_aborted;
            return Box::pin(self.lease.fetch_many(query).inspect_err(|error| note_refusal(is_aborted, error)));
        };
        Box::pin(TryAsyncStream::new(move |rows| async move {
            let (mut query, mut again) = (query, Some(again));
            loop {
                let mut answers = self.lease.fetch_many(query);
                let error = loop {
                    match answers.try_next().await {
                        Ok(Some(answer)) => {
                            again = None;
                            rows.r#yield(answer).await;
                        }
                        Ok(None) => return Ok(()),
                        Err(error) => break error,
                    }
                };
                drop(answers);
                match again.take() {
                    Some(again) if self.reopen(&error, &opener).await? => query = again,
                    _ => {
                        note_refusal(&self.is_aborted, &error);
                        return Err(error);
                    }
                }
            }
        }))
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: Execute<'q, Postgres> + 'q,
    {
        let query = GuardedQuery::new::<D>(query, self.named);
        Box::pin(async move {
            let again = self.opener.take().zip(query.again());
            let mut answer = self.lease.fetch_optional(query).await;
            if let (Err(error), Some((opener, again))) = (&answer, again)
                && self.reopen(error, &opener).await?
            {
                answer = self.lease.fetch_optional(again).await;
            }
            answer.inspect_err(|error| note_refusal(&self.is_aborted, error))
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

/// Statements prepared apart from their execution have no place here: `query!` does both.
pub(super) fn not_available(what: &str) -> sqlx::Error {
    sqlx::Error::Configuration(format!("{what} is not available: execute the query itself").into())
}
