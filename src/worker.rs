//! Periodic work: response deadlines and expired idempotency keys. Safe in several processes at once; catches up after
//! downtime.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio_util::sync::CancellationToken;

use crate::idempotency;
use crate::jobs::deadlines;
use crate::outbox::Notifier;
use crate::supervision::{Health, Task, Tasks};
use doors::Pooler;

/// How often deadlines are looked up, and so how late they may be acted upon.
const DEADLINES_EVERY: Duration = Duration::from_secs(5);

/// How often old keys are deleted.
const KEYS_EVERY: Duration = Duration::from_secs(60 * 60);

/// Starts the periodic tasks. When they finish, a pass that has begun is finished.
pub(crate) fn start(pooler: Pooler, notifier: Notifier, health: &Health) -> Tasks {
    let tasks = Tasks::new(health);
    let (of_deadlines, stopped) = (pooler.clone(), tasks.stopping().clone());
    tasks
        .start("deadlines", move |task| watch_deadlines(of_deadlines.clone(), notifier.clone(), stopped.clone(), task));
    let stopped = tasks.stopping().clone();
    tasks.start("key deletion", move |task| delete_keys(pooler.clone(), stopped.clone(), task));
    tasks
}

async fn watch_deadlines(
    pooler: Pooler,
    notifier: Notifier,
    stopped: CancellationToken,
    task: Arc<Task>,
) -> anyhow::Result<()> {
    while wait(DEADLINES_EVERY, &stopped).await {
        deadlines::act(&pooler, Utc::now(), &stopped, |outbox| notifier.publish(outbox)).await;
        task.works();
    }
    Ok(())
}

async fn delete_keys(pooler: Pooler, stopped: CancellationToken, task: Arc<Task>) -> anyhow::Result<()> {
    task.works();
    while wait(KEYS_EVERY, &stopped).await {
        loop {
            match idempotency::delete_expired(&pooler, Utc::now()).await {
                Ok(0) => break,
                Ok(_) if stopped.is_cancelled() => return Ok(()),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "old idempotency keys could not be deleted; trying again in an hour");
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Waits for the next pass. Returns `false` if it is time to stop.
async fn wait(time: Duration, stopped: &CancellationToken) -> bool {
    stopped.run_until_cancelled(tokio::time::sleep(time)).await.is_some()
}
