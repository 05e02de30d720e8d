//! Connections on loan from a door's pool: they return with nothing in flight, or not at all.
//!
//! sqlx by itself queues the ROLLBACK of a dropped transaction and sends it together with the next request. A pooler that
//! frees the server after the first `ReadyForQuery` of a segment, as Supavisor up to v2.9.10 does, then passes the
//! second answer to its next client. From there on, every client receives somebody else's answers.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::postgres::PgTransactionManager;
use sqlx::{AssertSqlSafe, PgConnection, SqlSafeStr as _};
use sqlx_core::transaction::TransactionManager as _;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::is_connection_loss;
use crate::pool::{Held, Pool};

/// How long the end of a transaction, COMMIT or ROLLBACK, may take before its connection is closed.
pub(super) const END_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection borrowed from a pool.
///
/// A clean connection returns to the pool as soon as it is dropped. In any other state a separate task reads the answers
/// still in flight, then rolls back an open transaction and awaits the ROLLBACK. The connection is closed if this fails
/// or takes longer than ten seconds, or if there is no Tokio runtime for the task.
pub struct Lease {
    /// `None` only once the lease is dropped.
    held: Option<Held>,
    returns: bool,
    pool: Pool,
}

impl Lease {
    pub(super) fn new(pool: Pool, held: Held) -> Self {
        Self { held: Some(held), returns: true, pool }
    }

    /// The same lease, whose connection never returns to the pool: its user may leave anything behind, such as settings,
    /// session locks, or a transaction that sqlx does not know of.
    pub(super) fn into_session(mut self) -> Self {
        self.returns = false;
        self
    }

    /// Opens a transaction with the message `begin`. Until that succeeds, it is unknown whether one is open, so the
    /// connection would not return to the pool.
    pub(super) async fn begin(&mut self, begin: impl Into<std::sync::Arc<str>>) -> sqlx::Result<()> {
        self.returns = false;
        PgTransactionManager::begin(self, Some(AssertSqlSafe(begin.into()).into_sql_str())).await?;
        self.returns = true;
        Ok(())
    }

    /// When the connection was last known to be alive.
    #[cfg(test)]
    pub(super) fn proven(&self) -> Option<tokio::time::Instant> {
        self.held.as_ref().map(|held| held.proven)
    }

    /// The connection, taken out of the lease.
    #[cfg(test)]
    pub(super) fn into_held(mut self) -> Held {
        self.held.take().unwrap()
    }

    /// Closes the connection at once, whatever is in flight; its pool may open another.
    pub(super) fn close(mut self) {
        self.returns = false;
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lease")
    }
}

#[expect(clippy::expect_used, reason = "only `drop`, which ends the lease, takes its connection")]
impl Deref for Lease {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.held.as_ref().expect("a connection until it is dropped").connection
    }
}

#[expect(clippy::expect_used, reason = "as above")]
impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.held.as_mut().expect("a connection until it is dropped").connection
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        if !self.returns {
            return self.pool.give_up(held);
        }
        let Err(held) = self.pool.put_back(held) else { return };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(put_back_in_order(self.pool.clone(), held))),
            Err(_) => self.pool.give_up(held),
        }
    }
}

/// Returns a connection to its pool once it is clean. Closes it if it cannot be cleaned up, or if the runtime shuts down
/// and drops this future.
async fn put_back_in_order(pool: Pool, mut held: Held) {
    match timeout(END_TIMEOUT, put_in_order(&mut held.connection)).await {
        Ok(Ok(())) => match pool.put_back(held) {
            Ok(()) => return,
            Err(still) => held = still,
        },
        Ok(Err(error)) => tracing::debug!(%error, "a transaction was not rolled back: its connection is closed"),
        Err(_) => tracing::warn!("a transaction was not rolled back in time: its connection is closed"),
    }
    pool.give_up(held);
}

/// Reads the answers still in flight, then rolls back: one request at a time.
async fn put_in_order(connection: &mut PgConnection) -> sqlx::Result<()> {
    use sqlx::Connection as _;

    while let Err(error) = connection.flush().await {
        // An error from a statement whose caller has gone; the answers after it are read next.
        if error.as_database_error().is_none() || is_connection_loss(&error) {
            return Err(error);
        }
    }
    PgTransactionManager::rollback(connection).await
}
