//! Periodic work: response deadlines, e-mail, invoices at Stripe, counts, and what has expired. Safe in several processes at once; catches up after
//! downtime.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::auth::attempts;
use crate::files::{self, Store};
use crate::idempotency;
use crate::jobs::deadlines;
use crate::limits::Limits;
use crate::mail;
use crate::outbox::Notifier;
use crate::payments::{self, Stripe};
use crate::supervision::{Health, Task, Tasks};
use doors::Pooler;

/// How often deadlines are looked up, and so how late they may be acted upon.
const DEADLINES_EVERY: Duration = Duration::from_secs(5);

/// How often e-mail that is due is looked up, and so how late it may leave.
const MAIL_EVERY: Duration = Duration::from_secs(2);

/// How often what the limits count is looked through for what says nothing any more.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// How often invoices that are due are looked up, and so how late Stripe is asked again.
const INVOICES_EVERY: Duration = Duration::from_secs(2);

/// How often changes of counts are folded. Until then they are counted one by one.
const TALLIES_EVERY: Duration = Duration::from_secs(10);

/// How often old keys and e-mails are deleted.
const OLD_EVERY: Duration = Duration::from_secs(60 * 60);

/// How often files that nothing refers to are looked up.
const FILES_EVERY: Duration = Duration::from_secs(5 * 60);

/// Starts the periodic tasks. When they finish, a pass that has begun is finished.
pub(crate) fn start(
    pooler: Pooler,
    notifier: Notifier,
    mail: mail::Sender,
    stripe: Option<Stripe>,
    limits: Limits,
    store: Store,
    health: &Health,
) -> Tasks {
    let tasks = Tasks::new(health);
    if let Some(stripe) = stripe {
        let (pooler, notifier, stopped) = (pooler.clone(), notifier.clone(), tasks.stopping().clone());
        tasks.start("invoices", move |task| {
            make_invoices(pooler.clone(), stripe.clone(), notifier.clone(), stopped.clone(), task)
        });
    }
    let (of_deadlines, stopped) = (pooler.clone(), tasks.stopping().clone());
    tasks
        .start("deadlines", move |task| watch_deadlines(of_deadlines.clone(), notifier.clone(), stopped.clone(), task));
    let (of_mail, mail, stopped) = (pooler.clone(), Arc::new(Mutex::new(mail)), tasks.stopping().clone());
    tasks.start("e-mail", move |task| send_mail(of_mail.clone(), mail.clone(), stopped.clone(), task));
    let (of_files, stopped) = (pooler.clone(), tasks.stopping().clone());
    tasks.start("file sweep", move |task| sweep_files(of_files.clone(), store.clone(), stopped.clone(), task));
    let stopped = tasks.stopping().clone();
    tasks.start("sweep of the limits", move |task| sweep(limits.clone(), stopped.clone(), task));
    let (of_tallies, stopped) = (pooler.clone(), tasks.stopping().clone());
    tasks.start("tallies", move |task| fold_tallies(of_tallies.clone(), stopped.clone(), task));
    let stopped = tasks.stopping().clone();
    tasks.start("deletion of what has expired", move |task| delete_old(pooler.clone(), stopped.clone(), task));
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

async fn send_mail(
    pooler: Pooler,
    mail: Arc<Mutex<mail::Sender>>,
    stopped: CancellationToken,
    task: Arc<Task>,
) -> anyhow::Result<()> {
    let mut mail = mail.lock().await;
    task.works();
    while wait(MAIL_EVERY, &stopped).await {
        mail.send_due(&pooler, &stopped).await;
    }
    Ok(())
}

/// Sweeps at once, for what a killed process has left, and then from time to time.
async fn sweep_files(pooler: Pooler, store: Store, stopped: CancellationToken, task: Arc<Task>) -> anyhow::Result<()> {
    task.works();
    loop {
        if let Err(error) = files::sweep(&pooler, &store, &stopped).await {
            tracing::warn!(%error, "files could not be swept; trying again in five minutes");
        }
        if !wait(FILES_EVERY, &stopped).await {
            return Ok(());
        }
    }
}

async fn sweep(limits: Limits, stopped: CancellationToken, task: Arc<Task>) -> anyhow::Result<()> {
    while wait(SWEEP_EVERY, &stopped).await {
        limits.forget_the_quiet();
        task.works();
    }
    Ok(())
}

async fn make_invoices(
    pooler: Pooler,
    stripe: Stripe,
    notifier: Notifier,
    stopped: CancellationToken,
    task: Arc<Task>,
) -> anyhow::Result<()> {
    task.works();
    while wait(INVOICES_EVERY, &stopped).await {
        payments::attempt_due(&pooler, &stripe, &notifier, &stopped).await;
    }
    Ok(())
}

async fn fold_tallies(pooler: Pooler, stopped: CancellationToken, task: Arc<Task>) -> anyhow::Result<()> {
    while wait(TALLIES_EVERY, &stopped).await {
        while !stopped.is_cancelled() {
            match admin::fold_tallies(&pooler).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "changes of counts could not be folded; trying again in a few seconds");
                    break;
                }
            }
        }
        task.works();
    }
    Ok(())
}

async fn delete_old(pooler: Pooler, stopped: CancellationToken, task: Arc<Task>) -> anyhow::Result<()> {
    task.works();
    while wait(OLD_EVERY, &stopped).await {
        loop {
            match delete_some(&pooler).await {
                Ok(0) => break,
                Ok(_) if stopped.is_cancelled() => return Ok(()),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "old idempotency keys, e-mails and attempts could not be deleted; trying again in an hour");
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Deletes some of what has expired. Returns how much.
async fn delete_some(pooler: &Pooler) -> sqlx::Result<u64> {
    let now = Utc::now();
    Ok(idempotency::delete_expired(pooler, now).await?
        + mail::delete_ended(pooler).await?
        + attempts::delete_spent(pooler, now).await?)
}

/// Waits for the next pass. Returns `false` if it is time to stop.
async fn wait(time: Duration, stopped: &CancellationToken) -> bool {
    stopped.run_until_cancelled(tokio::time::sleep(time)).await.is_some()
}
