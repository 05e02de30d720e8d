//! The bulkhead between the message writers and all other statements of the sockets.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use doors::Direct;

/// How long a statement waits for a slot.
const SLOT_TIMEOUT: Duration = Duration::from_secs(5);

/// The direct connection for everything but the writers: so few statements at a time that the writers always find a
/// connection free. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bulkhead {
    direct: Direct,
    slots: Arc<Semaphore>,
}

impl Bulkhead {
    /// All connections of `direct` but those that are `reserved` for others.
    #[must_use]
    pub fn new(direct: Direct, reserved: usize) -> Self {
        let slots = direct.max_connections().saturating_sub(reserved).max(1);
        Self { direct, slots: Arc::new(Semaphore::new(slots)) }
    }

    /// Runs a statement once a slot is free.
    ///
    /// # Errors
    /// Those of the statement; [`sqlx::Error::PoolTimedOut`] if no slot is free in time.
    pub async fn run<T>(&self, statement: impl AsyncFnOnce(&Direct) -> sqlx::Result<T>) -> sqlx::Result<T> {
        let slot = tokio::time::timeout(SLOT_TIMEOUT, self.slots.acquire()).await;
        let Ok(Ok(_slot)) = slot else { return Err(sqlx::Error::PoolTimedOut) };
        // The server enforces its own limit; this one is for a path that has died silently.
        let limit = self.direct.statement_timeout() + SLOT_TIMEOUT;
        tokio::time::timeout(limit, statement(&self.direct)).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }
}
