//! Long-lived tasks under supervision: one that panics or ends early is logged, counted and started again, and shown as
//! down until it works again.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a task waits before it is started again: doubled from failure to failure, up to the second.
const FIRST_BACK_OFF: Duration = Duration::from_millis(250);
const LAST_BACK_OFF: Duration = Duration::from_secs(2);

/// How long a task must have run for its next failure to count as the first.
const STEADY_AFTER: Duration = Duration::from_secs(10);

/// The state of every supervised task of the process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<Vec<Arc<Task>>>>);

/// One supervised task.
#[derive(Debug)]
pub struct Task {
    name: String,
    is_down: AtomicBool,
    restarts: AtomicU64,
}

/// Tasks that start and stop together. Dropped, it aborts them.
#[derive(Debug)]
pub struct Tasks {
    health: Health,
    stopping: CancellationToken,
    running: Mutex<JoinSet<()>>,
}

impl Health {
    /// The names of the tasks that are down.
    #[must_use]
    pub fn down(&self) -> Vec<String> {
        let tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.iter().filter(|task| task.is_down()).map(|task| task.name.clone()).collect()
    }

    /// How often tasks had to be started again so far.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        let tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.iter().map(|task| task.restarts.load(Ordering::Relaxed)).sum()
    }
}

impl Task {
    /// To be called by the task itself, as often as it likes, once it does its work.
    pub fn works(&self) {
        self.is_down.store(false, Ordering::Relaxed);
    }

    /// Whether the task has failed, and does not work again yet.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    fn has_failed(&self, why: &dyn fmt::Display) {
        self.is_down.store(true, Ordering::Relaxed);
        self.restarts.fetch_add(1, Ordering::Relaxed);
        tracing::error!(task = self.name, "a task of this process {why}: starting it again");
    }
}

impl Tasks {
    /// No tasks yet; those that start will be part of `health`.
    #[must_use]
    pub fn new(health: &Health) -> Self {
        Self { health: health.clone(), stopping: CancellationToken::new(), running: Mutex::default() }
    }

    /// Cancelled when the tasks should finish: a task that ends before has failed.
    #[must_use]
    pub const fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Starts a task: the future that `run` returns, and another one whenever it fails. The task must call
    /// [`Task::works`], or it would stay down after its first failure.
    pub fn start<Run>(
        &self,
        name: impl Into<String>,
        run: impl Fn(Arc<Task>) -> Run + Send + Sync + 'static,
    ) -> Arc<Task>
    where
        Run: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let task = Arc::new(Task { name: name.into(), is_down: AtomicBool::new(false), restarts: AtomicU64::new(0) });
        self.health.0.lock().unwrap_or_else(PoisonError::into_inner).push(task.clone());
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.spawn(supervise(task.clone(), self.stopping.clone(), run));
        task
    }

    /// Has the tasks finish what they do, and waits for it.
    pub async fn finish(&self) {
        self.stopping.cancel();
        let mut running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        while running.join_next().await.is_some() {}
    }

    /// Aborts the tasks wherever they are, and waits until they are gone.
    pub async fn abort(&self) {
        self.stopping.cancel();
        let mut running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        running.shutdown().await;
    }
}

/// Runs a task until it ends after `stopping`.
async fn supervise<Run>(task: Arc<Task>, stopping: CancellationToken, run: impl Fn(Arc<Task>) -> Run)
where
    Run: Future<Output = anyhow::Result<()>>,
{
    let mut back_off = FIRST_BACK_OFF;
    loop {
        let started = Instant::now();
        let ended = AssertUnwindSafe(async { run(task.clone()).await }).catch_unwind().await;
        if stopping.is_cancelled() {
            return;
        }
        match ended {
            Ok(Ok(())) => task.has_failed(&"has ended"),
            Ok(Err(error)) => task.has_failed(&format_args!("has failed ({error:#})")),
            // The panic's own message is in the log.
            Err(_) => task.has_failed(&"has panicked"),
        }
        if started.elapsed() >= STEADY_AFTER {
            back_off = FIRST_BACK_OFF;
        }
        if stopping.run_until_cancelled(tokio::time::sleep(back_off)).await.is_none() {
            return;
        }
        back_off = (2 * back_off).min(LAST_BACK_OFF);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::sync::{Mutex, mpsc};

    use super::*;

    async fn until(condition: impl Fn() -> bool) {
        let waited = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waited).await.expect("it takes too long");
    }

    #[tokio::test]
    async fn a_task_that_panics_fails_or_ends_is_down_until_it_works_again() {
        for fault in ["panic", "error", "end", "panic while it starts"] {
            let health = Health::default();
            let tasks = Tasks::new(&health);
            let runs = Arc::new(AtomicUsize::new(0));
            let (counted, (go, gate)) = (runs.clone(), mpsc::channel::<()>(1));
            let gate = Arc::new(Mutex::new(gate));
            tasks.start("sweep", move |task| {
                let run = counted.fetch_add(1, Ordering::SeqCst);
                assert!(run > 0 || fault != "panic while it starts");
                let gate = gate.clone();
                async move {
                    match (run, fault) {
                        (0, "panic") => panic!("the fault"),
                        (0, "error") => anyhow::bail!("the fault"),
                        (0, _) => return Ok(()),
                        _ => {}
                    }
                    gate.lock().await.recv().await;
                    task.works();
                    std::future::pending().await
                }
            });
            until(|| health.down() == ["sweep"]).await;
            until(|| runs.load(Ordering::SeqCst) == 2).await;
            assert_eq!((health.down(), health.restarts()), (vec!["sweep".to_owned()], 1), "{fault}");
            go.send(()).await.unwrap();
            until(|| health.down().is_empty()).await;
        }
    }

    #[tokio::test]
    async fn stopping_is_no_failure() {
        let health = Health::default();
        let tasks = Tasks::new(&health);
        let stopping = tasks.stopping().clone();
        tasks.start("finishes", move |_| {
            let stopping = stopping.clone();
            async move {
                stopping.cancelled().await;
                Ok(())
            }
        });
        tasks.start("is between two runs", |_| async { anyhow::bail!("the fault") });
        until(|| !health.down().is_empty()).await;
        tasks.finish().await;
        assert!(health.restarts() <= 1, "{}", health.restarts());
    }
}
