//! SQL of requests for services as admins see and decide them.

use chrono::{DateTime, Utc};

use super::ServiceRequestStatus;
use crate::types::{LsmId, ServiceRequestId, UserId};
use doors::{Pooler, Tx};

/// A request that is about to be decided.
#[derive(Debug)]
pub(crate) struct LockedRequest {
    pub status: ServiceRequestStatus,
    pub requested_by: UserId,
    pub is_providers: bool,
    pub lsm_user_id: Option<UserId>,
    pub service_name: String,
    pub category: Option<String>,
    pub description: String,
    pub questions: Option<serde_json::Value>,
}

/// Locks a request until the transaction ends.
pub(crate) async fn lock(tx: &mut Tx<Pooler>, id: ServiceRequestId) -> sqlx::Result<Option<LockedRequest>> {
    sqlx::query_as!(
        LockedRequest,
        r#"select r.status as "status: ServiceRequestStatus", r.requested_by as "requested_by: UserId",
                  r.kind = 'service_provider' as "is_providers!",
                  (select l.user_id from stm.local_service_managers l where l.id = r.lsm_id) as "lsm_user_id: UserId",
                  r.service_name, r.category, r.description, r.questions_json as questions
           from stm.service_requests r
           where r.id = $1
           for no key update of r"#,
        id.0,
    )
    .fetch_optional(tx)
    .await
}

/// Decides a request that its LSM has approved. Returns `false` if it does not wait for an admin.
pub(crate) async fn decide(
    tx: &mut Tx<Pooler>,
    id: ServiceRequestId,
    rejected_for: Option<&str>,
) -> sqlx::Result<bool> {
    let decided = sqlx::query!(
        "update stm.service_requests
         set status = case when $2::text is null then 'approved' else 'rejected' end,
             rejected_by = case when $2 is not null then 'admin' end, reason = $2, updated_at = now()
         where id = $1 and status = 'lsm_approved'",
        id.0,
        rejected_for,
    )
    .execute(tx)
    .await?;
    Ok(decided.rows_affected() == 1)
}

/// A request that waits for an admin.
#[derive(Debug)]
pub(crate) struct WaitingRequest {
    pub id: ServiceRequestId,
    pub service_name: String,
    pub category: Option<String>,
    pub description: String,
    pub questions: Option<serde_json::Value>,
    pub region: Option<String>,
    /// `None`: a customer asks.
    pub business_name: Option<String>,
    pub first_name: String,
    pub last_name: String,
    pub email: String,
    pub lsm_id: LsmId,
    pub lsm_name: String,
    pub lsm_region: String,
    /// When the LSM approved it.
    pub reviewed_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
}

/// The requests that LSMs have approved, the oldest first, at most `limit`.
pub(crate) async fn list_waiting(pooler: &Pooler, limit: i64) -> sqlx::Result<Vec<WaitingRequest>> {
    sqlx::query_as!(
        WaitingRequest,
        r#"select r.id as "id: ServiceRequestId", r.service_name, r.category, r.description, r.questions_json as questions,
                  r.region, p.business_name as "business_name?", u.first_name, u.last_name, u.email, l.id as "lsm_id: LsmId",
                  lu.first_name || ' ' || lu.last_name as "lsm_name!", l.region as lsm_region,
                  coalesce(r.lsm_reviewed_at, r.updated_at) as "reviewed_at!", r.created_at
           from (select * from stm.service_requests where status = 'lsm_approved' order by id limit $1) r
           join stm.users u on u.id = r.requested_by
           join stm.local_service_managers l on l.id = r.lsm_id
           join stm.users lu on lu.id = l.user_id
           left join stm.providers p on p.user_id = r.requested_by
           order by r.id"#,
        limit,
    )
    .fetch_all(pooler)
    .await
}
