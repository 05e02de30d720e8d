//! SQL of new disputes.

use crate::types::{DisputeId, JobId, UserId};
use doors::{Pooler, Tx};

/// Locks the LSM of a job's provider, against its replacement, until the transaction ends: the next statement sees who took
/// over if this one has waited.
pub(super) async fn lock_lsm(tx: &mut Tx<Pooler>, job: JobId) -> sqlx::Result<()> {
    sqlx::query!(
        "select l.id
         from stm.jobs j
         join stm.providers p on p.id = j.provider_id
         join stm.local_service_managers l on l.id = p.lsm_id
         where j.id = $1
         for share of l",
        job.0,
    )
    .fetch_optional(tx)
    .await
    .map(drop)
}

/// Inserts an open dispute. Returns it, and the LSM's user. Returns `None` if the job has one. Needs [`lock_lsm`].
pub(super) async fn insert(
    tx: &mut Tx<Pooler>,
    job: JobId,
    description: &str,
) -> sqlx::Result<Option<(DisputeId, UserId)>> {
    let row = sqlx::query!(
        r#"with dispute as (
               insert into stm.disputes (job_id, lsm_id, description)
               select j.id, p.lsm_id, $2
               from stm.jobs j join stm.providers p on p.id = j.provider_id
               where j.id = $1
               on conflict (job_id) where status = 'open' do nothing
               returning id, lsm_id)
           select d.id as "id: DisputeId", l.user_id as "lsm_user_id: UserId"
           from dispute d
           join stm.local_service_managers l on l.id = d.lsm_id"#,
        job.0,
        description,
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| (row.id, row.lsm_user_id)))
}
