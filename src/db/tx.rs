//! A transaction that remembers which door it came through.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, TryFutureExt as _};
use futures_util::stream::{self, BoxStream, TryStreamExt as _};
use sqlx::error::BoxDynError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTransactionManager, PgTypeInfo};
use sqlx::{Either, Execute, Executor, PgConnection, Postgres, SqlStr};
use sqlx_core::transaction::TransactionManager as _;

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::db::Pooler {}
    impl Sealed for crate::db::Direct {}
}

/// A way to the database: [`Pooler`](crate::db::Pooler) or [`Direct`](crate::db::Direct).
pub trait Door: sealed::Sealed + Send + Sync + 'static {
    /// Is the server ours alone, so that any statement may be sent?
    const OWN_SERVER: bool;
}

/// How long COMMIT may take before the connection is given up, and the outcome with it.
pub(super) const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// An open transaction. Dropped without [`commit`](Self::commit), it is rolled back: ROLLBACK is sent when the
/// connection goes back to its pool, off the caller's path.
pub struct Tx<D> {
    /// `None` only once it is committed.
    connection: Option<PoolConnection<Postgres>>,
    /// Has the database refused a statement? Then it answers COMMIT with success, and rolls back.
    is_aborted: AtomicBool,
    named: bool,
    door: PhantomData<fn() -> D>,
}

impl<D> std::fmt::Debug for Tx<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tx")
    }
}

impl<D: Door> Tx<D> {
    /// Opens a transaction on `connection`. If the answer does not come in time the connection is closed, not
    /// given back: its transaction may be open.
    ///
    /// Not cancel-safe; the doors call it in a task of its own.
    pub(super) async fn begin(
        mut connection: PoolConnection<Postgres>,
        begin: SqlStr,
        named: bool,
        limit: Duration,
    ) -> sqlx::Result<Self> {
        let begun = tokio::time::timeout(limit, PgTransactionManager::begin(&mut connection, Some(begin))).await;
        let Ok(begun) = begun else {
            connection.close_on_drop();
            return Err(sqlx::Error::PoolTimedOut);
        };
        begun?;
        Ok(Self { connection: Some(connection), is_aborted: AtomicBool::new(false), named, door: PhantomData })
    }

    /// Commits. An error leaves the outcome unknown: COMMIT may or may not have been carried out.
    ///
    /// Runs to its end even if the caller stops waiting.
    ///
    /// # Errors
    /// Those of the database, among them deferred constraints, and the loss of the connection. A transaction
    /// in which a statement has failed cannot be committed: nothing of it is stored.
    pub async fn commit(mut self) -> sqlx::Result<()> {
        if *self.is_aborted.get_mut() {
            return Err(sqlx::Error::Configuration(
                "a statement of this transaction has failed: nothing is stored".into(),
            ));
        }
        let Some(mut connection) = self.connection.take() else { return Err(sqlx::Error::WorkerCrashed) };
        let commit = async move {
            let committed = tokio::time::timeout(COMMIT_TIMEOUT, PgTransactionManager::commit(&mut connection)).await;
            if !matches!(committed, Ok(Ok(()))) {
                connection.close_on_drop();
            }
            committed.unwrap_or(Err(sqlx::Error::PoolTimedOut))
        };
        tokio::spawn(commit).await.map_err(|_| sqlx::Error::WorkerCrashed)?
    }

    /// The connection, and where to note that the database refused a statement.
    fn parts(&mut self) -> sqlx::Result<(&mut PgConnection, impl Fn(&sqlx::Error))> {
        let is_aborted = &self.is_aborted;
        let note = move |error: &sqlx::Error| {
            if error.as_database_error().is_some() {
                is_aborted.store(true, Ordering::Relaxed);
            }
        };
        Ok((self.connection.as_deref_mut().ok_or(sqlx::Error::WorkerCrashed)?, note))
    }
}

impl<D> Drop for Tx<D> {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.connection {
            PgTransactionManager::start_rollback(connection);
        }
    }
}

/// A query as its door lets it through: the caller's text and arguments, without a statement prepared elsewhere.
pub(super) struct Through {
    sql: SqlStr,
    arguments: Option<Arguments>,
    named: bool,
}

type Arguments = Result<Option<PgArguments>, BoxDynError>;

impl Through {
    pub(super) fn new<'q, D: Door>(mut query: impl Execute<'q, Postgres>, named: bool) -> Self {
        let named = named && query.persistent();
        let mut arguments = query.take_arguments();
        let sql = query.sql();
        if !D::OWN_SERVER {
            arguments = arguments.and_then(|arguments| allowed(&sql, arguments));
        }
        Self { sql, arguments: Some(arguments), named }
    }

    /// Is this a named, plain `select`? Where the pooler tracks names, it needs no transaction.
    pub(super) fn is_named_select(&self) -> bool {
        self.named && super::guard::is_plain_select(self.sql.as_str())
    }
}

fn allowed(sql: &SqlStr, arguments: Option<PgArguments>) -> Arguments {
    // Without arguments, even empty ones, sqlx would use the simple protocol.
    if arguments.is_none() {
        return Err("the simple protocol (raw_sql, or a bare string) is not allowed through the transaction pooler: use sqlx::query".into());
    }
    super::guard::check(sql.as_str())?;
    Ok(arguments)
}

impl Execute<'_, Postgres> for Through {
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
        let query = Through::new::<D>(query, self.named);
        match self.parts() {
            Ok((connection, note)) => Box::pin(connection.fetch_many(query).inspect_err(note)),
            Err(error) => Box::pin(stream::once(async { Err(error) })),
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: Execute<'q, Postgres> + 'q,
    {
        let query = Through::new::<D>(query, self.named);
        match self.parts() {
            Ok((connection, note)) => Box::pin(connection.fetch_optional(query).inspect_err(note)),
            Err(error) => Box::pin(async { Err(error) }),
        }
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

/// Statements prepared apart from their execution have no place in the application: `query!` does both.
pub(super) fn not_available(what: &str) -> sqlx::Error {
    sqlx::Error::Configuration(format!("{what} is not available: execute the query itself").into())
}
