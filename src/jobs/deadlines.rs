//! Missed response deadlines.

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::queries;
use super::transition::Job;
use super::types::Command;
use crate::error::{Error, Result};
use crate::outbox::Outbox;
use crate::types::JobId;
use doors::{Pooler, Tx};

/// After this many failed jobs a pass stops: the cause is not in the jobs then.
const MAX_FAILURES: usize = 20;

/// Acts upon every deadline that has passed at `now` and was not acted upon: one transaction each, the oldest first.
/// `publish` is called after each commit. Jobs that another transaction has locked are left to it or to the next pass, as
/// are jobs that fail. Returns how many deadlines were acted upon.
pub async fn act(pooler: &Pooler, now: DateTime<Utc>, stopped: &CancellationToken, publish: impl Fn(Outbox)) -> usize {
    let mut done = 0;
    let mut failed = Vec::new();
    while !stopped.is_cancelled() && failed.len() < MAX_FAILURES {
        match act_on_one(pooler, now, &failed).await {
            Ok(Some(outbox)) => {
                publish(outbox);
                done += 1;
            }
            Ok(None) => break,
            Err((Some(JobId(id)), error)) => {
                tracing::warn!(job = id, %error, "a missed deadline could not be acted upon; trying again later");
                failed.push(id);
            }
            Err((None, error)) => {
                tracing::warn!(%error, "missed deadlines could not be looked up; trying again later");
                break;
            }
        }
    }
    done
}

/// An error comes with its job, so that the others need not wait for it.
async fn act_on_one(
    pooler: &Pooler,
    now: DateTime<Utc>,
    failed: &[i64],
) -> Result<Option<Outbox>, (Option<JobId>, Error)> {
    let locked = async {
        let mut tx = pooler.write().await?;
        let id = queries::lock_overdue(&mut tx, now, failed).await?;
        sqlx::Result::Ok((tx, id))
    };
    let (tx, id) = locked.await.map_err(|error: sqlx::Error| (None, error.into()))?;
    let Some(id) = id else { return Ok(None) };
    miss(tx, id, now).await.map(Some).map_err(|error| (Some(id), error))
}

async fn miss(mut tx: Tx<Pooler>, id: JobId, now: DateTime<Utc>) -> Result<Outbox> {
    let job = Job::load_overdue(&mut tx, id).await?;
    let transition = job.apply(Command::MissDeadline, now)?;
    let stored = job.store(&mut tx, &transition).await?;
    tx.commit().await?;
    Ok(stored.outbox)
}
