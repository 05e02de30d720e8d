//! Requests for services as their LSM sees and decides them: SQL and views.

use serde::Serialize;
use utoipa::ToSchema;

use super::types::{Decider, ServiceRequestStatus};
use crate::types::{ServiceRequestId, Timestamp, UserId};
use crate::web::page::PageRequest;
use doors::{Pooler, Tx};

/// A request for a service, as the LSM sees it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LsmServiceRequestView {
    id: ServiceRequestId,
    service_name: String,
    /// Empty where a customer asks.
    category: String,
    description: String,
    /// What customers should be asked: a list, or an object.
    suggested_questions: Option<serde_json::Value>,
    /// Who asks.
    provider: LsmRequesterView,
    lsm_approved: bool,
    admin_approved: bool,
    final_status: ServiceRequestStatus,
    rejection_reason: Option<String>,
    created_at: Timestamp,
    lsm_reviewed_at: Option<Timestamp>,
    admin_reviewed_at: Option<Timestamp>,
}

/// Who asks for a service.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LsmRequesterView {
    /// Null where a customer asks.
    business_name: Option<String>,
    user: LsmRequestingUserView,
}

/// The user who asks.
#[derive(Serialize, ToSchema)]
struct LsmRequestingUserView {
    first_name: String,
    last_name: String,
    email: String,
}

/// A page of the requests to an active LSM, newest first, and their total number.
pub(crate) async fn list(
    pooler: &Pooler,
    lsm: UserId,
    status: Option<ServiceRequestStatus>,
    page: PageRequest,
) -> sqlx::Result<(Vec<LsmServiceRequestView>, i64)> {
    // A page without requests is one row of nulls.
    let rows = sqlx::query!(
        r#"with found as not materialized (
               select r.id
               from stm.service_requests r
               where r.lsm_id = (select l.id from stm.local_service_managers l where l.user_id = $1 and l.status = 'active')
                 and ($2::text is null or r.status = $2)
           )
           select n.total as "total!", r.id as "id?: ServiceRequestId", r.service_name as "service_name?",
                  coalesce(r.category, '') as "category!", r.description as "description?", r.questions_json as "questions?",
                  p.business_name as "business_name?", u.first_name as "first_name?", u.last_name as "last_name?",
                  u.email as "email?", r.status as "status?: ServiceRequestStatus", r.reason as "reason?",
                  r.rejected_by as "rejected_by?: Decider", r.created_at as "created_at?",
                  r.lsm_reviewed_at as "lsm_reviewed_at?",
                  case when r.status = 'approved' or r.rejected_by = 'admin' then r.updated_at end as admin_reviewed_at
           from (select count(*) as total from found) n
           left join (select f.id from found f order by f.id desc limit $3 offset $4) page on true
           left join stm.service_requests r on r.id = page.id
           left join stm.users u on u.id = r.requested_by
           left join stm.providers p on p.user_id = r.requested_by
           order by r.id desc"#,
        lsm.0,
        status.map(ServiceRequestStatus::as_str),
        page.limit,
        page.offset(),
    )
    .fetch_all(pooler)
    .await?;
    let total = rows.first().map_or(0, |row| row.total);
    let requests = rows.into_iter().filter_map(|row| {
        let status = row.status?;
        let is_approved = match status {
            ServiceRequestStatus::Pending => false,
            ServiceRequestStatus::LsmApproved | ServiceRequestStatus::Approved => true,
            ServiceRequestStatus::Rejected => row.rejected_by == Some(Decider::Admin),
        };
        Some(LsmServiceRequestView {
            id: row.id?,
            service_name: row.service_name?,
            category: row.category,
            description: row.description?,
            suggested_questions: row.questions,
            provider: LsmRequesterView {
                business_name: row.business_name,
                user: LsmRequestingUserView {
                    first_name: row.first_name?,
                    last_name: row.last_name?,
                    email: row.email?,
                },
            },
            lsm_approved: is_approved,
            admin_approved: status == ServiceRequestStatus::Approved,
            final_status: status,
            rejection_reason: row.reason,
            created_at: row.created_at?.into(),
            lsm_reviewed_at: row.lsm_reviewed_at.map(Timestamp),
            admin_reviewed_at: row.admin_reviewed_at.map(Timestamp),
        })
    });
    Ok((requests.collect(), total))
}

/// A request that is about to be decided.
#[derive(Debug)]
pub(crate) struct LockedRequest {
    pub status: ServiceRequestStatus,
    pub requested_by: UserId,
    /// The name of the business, or first and last name.
    pub name: String,
    pub service_name: String,
}

/// Locks a request to an active LSM until the transaction ends. Returns `None` if there is no such request, or it is
/// another LSM's.
pub(crate) async fn lock(
    tx: &mut Tx<Pooler>,
    id: ServiceRequestId,
    lsm: UserId,
) -> sqlx::Result<Option<LockedRequest>> {
    sqlx::query_as!(
        LockedRequest,
        r#"select r.status as "status: ServiceRequestStatus", r.requested_by as "requested_by: UserId",
                  coalesce((select p.business_name from stm.providers p where p.user_id = u.id),
                           u.first_name || ' ' || u.last_name) as "name!", r.service_name
           from stm.service_requests r
           join stm.local_service_managers l on l.id = r.lsm_id and l.status = 'active'
           join stm.users u on u.id = r.requested_by
           where r.id = $1 and l.user_id = $2
           for no key update of r"#,
        id.0,
        lsm.0,
    )
    .fetch_optional(tx)
    .await
}

/// Decides a pending request: with a reason it is rejected, without one it waits for an admin. Returns `false` if it is
/// not pending.
pub(crate) async fn decide(
    tx: &mut Tx<Pooler>,
    id: ServiceRequestId,
    rejected_for: Option<&str>,
) -> sqlx::Result<bool> {
    let decided = sqlx::query!(
        "update stm.service_requests
         set status = case when $2::text is null then 'lsm_approved' else 'rejected' end,
             rejected_by = case when $2 is not null then 'local_service_manager' end,
             reason = $2, lsm_reviewed_at = now(), updated_at = now()
         where id = $1 and status = 'pending'",
        id.0,
        rejected_for,
    )
    .execute(tx)
    .await?;
    Ok(decided.rows_affected() == 1)
}
