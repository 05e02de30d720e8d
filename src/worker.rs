//! Periodic work: response deadlines, e-mail, and what has expired. Safe in several processes at once; catches up after
//! downtime.

use std::time::Duration;

use chrono::Utc;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::idempotency;
use crate::jobs::deadlines;
use crate::mail;
use crate::outbox::Notifier;
use doors::Pooler;

/// How often deadlines are looked up, and so how late they may be acted upon.
const DEADLINES_EVERY: Duration = Duration::from_secs(5);

/// How often e-mail that is due is looked up, and so how late it may leave.
const MAIL_EVERY: Duration = Duration::from_secs(2);

/// How often old keys and e-mails are deleted.
const OLD_EVERY: Duration = Duration::from_secs(60 * 60);

/// The running worker.
#[derive(Debug)]
pub(crate) struct Worker {
    stopped: CancellationToken,
    tasks: Mutex<JoinSet<()>>,
}

impl Worker {
    /// Starts the periodic tasks.
    pub(crate) fn start(pooler: Pooler, notifier: Notifier, mail: mail::Sender) -> Self {
        let stopped = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(watch_deadlines(pooler.clone(), notifier, stopped.clone()));
        tasks.spawn(send_mail(pooler.clone(), mail, stopped.clone()));
        tasks.spawn(delete_old(pooler, stopped.clone()));
        Self { stopped, tasks: Mutex::new(tasks) }
    }

    /// Stops: a pass that has begun is finished.
    pub(crate) async fn stop(&self) {
        self.stopped.cancel();
        while self.tasks.lock().await.join_next().await.is_some() {}
    }
}

async fn watch_deadlines(pooler: Pooler, notifier: Notifier, stopped: CancellationToken) {
    while wait(DEADLINES_EVERY, &stopped).await {
        deadlines::act(&pooler, Utc::now(), &stopped, |outbox| notifier.publish(outbox)).await;
    }
}

async fn send_mail(pooler: Pooler, mut mail: mail::Sender, stopped: CancellationToken) {
    while wait(MAIL_EVERY, &stopped).await {
        mail.send_due(&pooler, &stopped).await;
    }
}

async fn delete_old(pooler: Pooler, stopped: CancellationToken) {
    while wait(OLD_EVERY, &stopped).await {
        loop {
            match delete_some(&pooler).await {
                Ok(0) => break,
                Ok(_) if stopped.is_cancelled() => return,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "old idempotency keys and e-mails could not be deleted; trying again in an hour");
                    break;
                }
            }
        }
    }
}

/// Deletes some of what has expired. Returns how much.
async fn delete_some(pooler: &Pooler) -> sqlx::Result<u64> {
    Ok(idempotency::delete_expired(pooler, Utc::now()).await? + mail::delete_ended(pooler).await?)
}

/// Waits for the next pass. Returns `false` if it is time to stop.
async fn wait(time: Duration, stopped: &CancellationToken) -> bool {
    stopped.run_until_cancelled(tokio::time::sleep(time)).await.is_some()
}
