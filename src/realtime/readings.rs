//! The sockets' own statements: so many at a time that the message writers always find a connection free.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use doors::Direct;

/// How long a statement waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);

/// The direct connection, shared out in turns. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Readings {
    direct: Direct,
    turns: Arc<Semaphore>,
}

impl Readings {
    /// All connections of `direct` but those that are `reserved` for others.
    #[must_use]
    pub fn new(direct: Direct, reserved: usize) -> Self {
        let turns = direct.max_connections().saturating_sub(reserved).max(1);
        Self { direct, turns: Arc::new(Semaphore::new(turns)) }
    }

    /// Runs a statement when its turn comes.
    ///
    /// # Errors
    /// Those of the statement; [`sqlx::Error::PoolTimedOut`] if its turn does not come in time.
    pub async fn run<T>(&self, statement: impl AsyncFnOnce(&Direct) -> sqlx::Result<T>) -> sqlx::Result<T> {
        let turn = tokio::time::timeout(TURN_TIMEOUT, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(sqlx::Error::PoolTimedOut) };
        // A server that is there keeps its own limit; this one is for a path that has died silently.
        let limit = self.direct.statement_timeout() + TURN_TIMEOUT;
        tokio::time::timeout(limit, statement(&self.direct)).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }
}
