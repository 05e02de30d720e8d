//! The time that one request may spend on the database in all: connections, statements, COMMIT.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::{Instant, timeout};

tokio::task_local! {
    static BUDGET: Budget;
}

struct Budget {
    limit: Duration,
    /// When the budget is used up; `None` until a door is used.
    ends: Cell<Option<Instant>>,
}

/// Runs `request`. From its first wait for a door, it has `limit` for all of its waits together; a wait that takes longer
/// fails as [`sqlx::Error::PoolTimedOut`]. A COMMIT that was sent by then runs on, and its outcome is unknown.
///
/// The budget belongs to the task: what `request` spawns has none.
pub async fn with_budget<T>(limit: Duration, request: impl Future<Output = T>) -> T {
    BUDGET.scope(Budget { limit, ends: Cell::new(None) }, request).await
}

/// What is left of `most`, or of the task's budget if that is less.
fn left_of(most: Duration) -> Duration {
    BUDGET
        .try_with(|budget| {
            let now = Instant::now();
            let ends = budget.ends.get().unwrap_or(now + budget.limit);
            budget.ends.set(Some(ends));
            most.min(ends.saturating_duration_since(now))
        })
        .unwrap_or(most)
}

/// What `step` returns, if that comes within `limit` and the task's budget.
pub async fn answer_within<T>(limit: Duration, step: impl Future<Output = T>) -> Result<T, NoAnswer> {
    let waited = left_of(limit);
    timeout(waited, step).await.map_err(|_| NoAnswer { waited })
}

/// What `step` returns, if that comes within the task's budget.
pub async fn within_budget<T>(step: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    answer_within(Duration::MAX, step).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// The server did not answer in time. The state of its connection is unknown, so it must not be used again.
#[derive(Debug)]
pub struct NoAnswer {
    /// How long the answer was waited for.
    pub waited: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_waits_of_a_request_share_its_budget() {
        let limit = Duration::from_secs(7);
        let pause = || async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            Ok(())
        };
        with_budget(limit, async {
            // What comes before the first wait for a door does not count.
            tokio::time::sleep(Duration::from_secs(60)).await;
            let started = Instant::now();
            assert!(within_budget(pause()).await.is_ok());
            assert!(within_budget(pause()).await.is_ok());
            assert!(matches!(within_budget(pause()).await, Err(sqlx::Error::PoolTimedOut)));
            assert!(answer_within(Duration::from_secs(5), pause()).await.is_err());
            assert_eq!(started.elapsed(), limit);
        })
        .await;
        assert!(within_budget(pause()).await.is_ok(), "without a budget there is no limit");
    }
}
