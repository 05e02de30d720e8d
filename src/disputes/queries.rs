//! SQL of new disputes.

use crate::types::{DisputeId, JobId};
use doors::{Pooler, Tx};

/// Inserts an open dispute. Returns `None` if the job has one.
pub(super) async fn insert(
    tx: &mut Tx<Pooler>,
    job: JobId,
    lsm: i64,
    description: &str,
) -> sqlx::Result<Option<DisputeId>> {
    sqlx::query_scalar!(
        r#"insert into stm.disputes (job_id, lsm_id, description) values ($1, $2, $3)
           on conflict (job_id) where status = 'open' do nothing
           returning id as "id: DisputeId""#,
        job.0,
        lsm,
        description,
    )
    .fetch_optional(tx)
    .await
}
