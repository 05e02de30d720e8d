//! Response deadlines: what happens when a provider lets one pass.

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::{miss_deadline, queries};
use crate::db::Pooler;
use crate::error::{Error, Result};
use crate::outbox::Outbox as News;
use crate::types::JobId;

/// The most jobs that may fail before a pass gives up: the cause is not in the jobs then.
const MAX_FAILURES: usize = 20;

/// Acts upon every deadline that has passed at `now` and was not acted upon, one transaction each, the oldest first;
/// `tell` is called after each commit. Whatever somebody else is working at is left to them or to the next pass, and so is
/// a job that fails. Gives how many it has acted upon.
pub async fn act(pooler: &Pooler, now: DateTime<Utc>, stopped: &CancellationToken, tell: impl Fn(News)) -> usize {
    let mut done = 0;
    let mut failed = Vec::new();
    while !stopped.is_cancelled() && failed.len() < MAX_FAILURES {
        match act_on_one(pooler, now, &failed).await {
            Ok(Some(news)) => {
                tell(news);
                done += 1;
            }
            Ok(None) => break,
            Err((Some(JobId(id)), error)) => {
                tracing::warn!(job = id, %error, "a missed deadline could not be acted upon; trying again later");
                failed.push(id);
            }
            Err((None, error)) => {
                tracing::warn!(%error, "deadlines could not be looked at; trying again later");
                break;
            }
        }
    }
    done
}

async fn act_on_one(
    pooler: &Pooler,
    now: DateTime<Utc>,
    failed: &[i64],
) -> Result<Option<News>, (Option<JobId>, Error)> {
    let begun = async {
        let mut tx = pooler.write().await?;
        let job = queries::lock_overdue(&mut tx, now, failed).await?;
        sqlx::Result::Ok((tx, job))
    };
    let (mut tx, job) = begun.await.map_err(|error: sqlx::Error| (None, error.into()))?;
    let Some(job) = job else { return Ok(None) };
    let id = job.id;
    let acted = async {
        let news = miss_deadline(&mut tx, job, now).await?;
        tx.commit().await?;
        Ok::<_, Error>(news)
    };
    acted.await.map(Some).map_err(|error| (Some(id), error))
}
