//! SQL of a reviewed provider.

use crate::types::{ProviderId, UserId};
use doors::Pooler;

/// A provider with reviews.
#[derive(Debug)]
pub(super) struct ReviewedRow {
    pub user_id: UserId,
    pub business_name: String,
    pub total_jobs: i32,
}

/// Finds a provider of an active LSM.
pub(super) async fn find(pooler: &Pooler, id: ProviderId, lsm: UserId) -> sqlx::Result<Option<ReviewedRow>> {
    sqlx::query_as!(
        ReviewedRow,
        r#"select p.user_id as "user_id: UserId", p.business_name, p.total_jobs
           from stm.providers p
           join stm.local_service_managers l on l.id = p.lsm_id and l.status = 'active'
           where p.id = $1 and l.user_id = $2"#,
        id.0,
        lsm.0,
    )
    .fetch_optional(pooler)
    .await
}
