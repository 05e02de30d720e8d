//! Connections on loan from a door's pool: they go back with nothing on its way, or not at all.
//!
//! sqlx by itself queues the ROLLBACK of a dropped transaction and sends it together with the pool's ping. A pooler that
//! frees the server after the first `ReadyForQuery` of a segment, as Supavisor up to v2.9.10 does, then passes the
//! second answer to its next client, and from there on every answer is somebody else's.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use futures_util::FutureExt as _;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgPoolOptions, PgTransactionManager};
use sqlx::{Connection as _, PgConnection, PgPool, Postgres};
use sqlx_core::transaction::TransactionManager as _;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::{ACQUIRE_TIMEOUT, PING_AFTER_IDLE, is_connection_loss};

/// How long the end of a transaction, COMMIT or ROLLBACK, may take before its connection is closed.
pub(super) const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Options that both doors' pools share. `is_suspect` returns whether a connection of this age may be dead, `is_outdated`
/// whether it must not be used again.
pub(super) fn pool_options(
    max_connections: u32,
    idle_timeout: Duration,
    is_suspect: impl Fn(Duration) -> bool + Send + Sync + 'static,
    is_outdated: impl Fn(Duration) -> bool + Send + Sync + 'static,
) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(idle_timeout)
        .test_before_acquire(false)
        .before_acquire(move |connection, meta| {
            let needs_ping = meta.idle_for >= PING_AFTER_IDLE || is_suspect(meta.age);
            let is_outdated = is_outdated(meta.age);
            Box::pin(async move { Ok(!is_outdated && (!needs_ping || connection.ping().await.is_ok())) })
        })
        .after_release(|connection, _| {
            let is_clean = has_nothing_on_its_way(connection);
            debug_assert!(is_clean, "a connection goes back with an answer on its way");
            Box::pin(async move { Ok(is_clean) })
        })
}

/// Whether everything has been sent, and every answer read.
fn has_nothing_on_its_way(connection: &mut PgConnection) -> bool {
    // sqlx's `flush` waits for the answers that are due: it is ready at once if none is.
    !connection.should_flush() && matches!(connection.flush().now_or_never(), Some(Ok(())))
}

/// A connection borrowed from a pool.
///
/// When it is dropped, in whatever state, a task of its own puts it in order: it reads the answers that are still on
/// their way, then rolls back an open transaction and awaits that. The connection is closed if this fails or takes
/// longer than ten seconds, or if there is no runtime to do it in.
pub struct Lease {
    /// `None` only once it is dropped.
    connection: Option<PoolConnection<Postgres>>,
    returns: bool,
}

impl Lease {
    /// Borrows a connection.
    pub(super) async fn of(pool: &PgPool) -> sqlx::Result<Self> {
        Ok(Self { connection: Some(pool.acquire().await?), returns: true })
    }

    /// Borrows a connection that does not go back: its user may leave anything behind, such as settings, session locks,
    /// or a transaction that sqlx does not know of.
    pub(super) async fn of_session(pool: &PgPool) -> sqlx::Result<Self> {
        let mut lease = Self::of(pool).await?;
        lease.returns = false;
        Ok(lease)
    }

    /// Closes the connection at once, whatever is on its way; its pool may open another.
    pub(super) fn close(mut self) {
        if let Some(connection) = self.connection.take() {
            close(connection);
        }
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lease")
    }
}

#[expect(clippy::expect_used, reason = "only `close` and `drop`, which end the lease, take its connection")]
impl Deref for Lease {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect("a connection until it is dropped")
    }
}

#[expect(clippy::expect_used, reason = "as above")]
impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("a connection until it is dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        match Handle::try_current() {
            Ok(runtime) if self.returns => drop(runtime.spawn(Returning(Some(connection)).run())),
            _ => close(connection),
        }
    }
}

/// A connection on its way back. It is closed unless it gets there, also when the runtime ends and drops the task.
struct Returning(Option<PoolConnection<Postgres>>);

impl Returning {
    async fn run(mut self) {
        let Some(connection) = &mut self.0 else { return };
        match timeout(END_TIMEOUT, put_in_order(connection)).await {
            Ok(Ok(())) => {
                let returned = connection.return_to_pool();
                self.0 = None;
                // sqlx pings the connection first; cut short, it is closed.
                let _closed = timeout(END_TIMEOUT, returned).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "a transaction was not rolled back: its connection is closed"),
            Err(_) => tracing::warn!("a transaction was not rolled back in time: its connection is closed"),
        }
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            close(connection);
        }
    }
}

/// Reads what is still on its way, then rolls back: one request at a time.
async fn put_in_order(connection: &mut PgConnection) -> sqlx::Result<()> {
    while let Err(error) = connection.flush().await {
        // The answer to a statement whose caller has gone; what follows it is read next.
        if error.as_database_error().is_none() || is_connection_loss(&error) {
            return Err(error);
        }
    }
    PgTransactionManager::rollback(connection).await
}

/// Unlike sqlx's own way of closing, this needs no runtime.
fn close(connection: PoolConnection<Postgres>) {
    drop(connection.detach());
}
