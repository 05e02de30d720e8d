//! SQL of an LSM's dashboard.

use super::http::{
    LsmDashboardView, LsmDisputeCountsView, LsmJobCountsView, LsmProviderCountsView, LsmRecentActivityView,
    LsmSummaryView,
};
use crate::types::UserId;
use doors::Pooler;

/// The dashboard of an active LSM. Returns `None` if the user is none.
pub(super) async fn find(pooler: &Pooler, lsm: UserId) -> sqlx::Result<Option<LsmDashboardView>> {
    let row = sqlx::query!(
        r#"select l.region, l.area,
                  p.pending as "pending!", p.active as "active!", p.inactive as "inactive!", p.rejected as "rejected!",
                  p.banned as "banned!", p.total as "providers!", p.fresh as "new_providers!", p.verified as "documents_verified!",
                  j.new as "new!", j.in_progress as "in_progress!", j.completed as "completed!", j.paid as "paid!",
                  j.cancelled as "cancelled!", j.rejected_by_sp as "rejected_by_sp!", j.total as "jobs!",
                  j.done as "completed_jobs!", d.open as "open_disputes!", d.resolved as "resolved_disputes!",
                  (select count(*) from stm.service_requests r where r.lsm_id = l.id and r.status = 'pending')
                      as "requests!"
           from stm.local_service_managers l
           cross join lateral (
               select count(*) filter (where p.status = 'pending') as pending,
                      count(*) filter (where p.status = 'active') as active,
                      count(*) filter (where p.status = 'inactive') as inactive,
                      count(*) filter (where p.status = 'rejected') as rejected,
                      count(*) filter (where p.status = 'banned') as banned,
                      count(*) as total,
                      count(*) filter (where p.created_at > now() - interval '1 day') as fresh,
                      coalesce(sum((select count(*) from stm.provider_documents d
                                    where d.provider_id = p.id and d.status = 'verified'
                                      and d.reviewed_at > now() - interval '1 day')), 0)::bigint as verified
               from stm.providers p
               where p.lsm_id = l.id
           ) p
           cross join lateral (
               select count(*) filter (where j.status = 'new') as new,
                      count(*) filter (where j.status = 'in_progress') as in_progress,
                      count(*) filter (where j.status = 'completed') as completed,
                      count(*) filter (where j.status = 'paid') as paid,
                      count(*) filter (where j.status = 'cancelled') as cancelled,
                      count(*) filter (where j.status = 'rejected_by_sp') as rejected_by_sp,
                      count(*) as total,
                      count(*) filter (where j.completed_at > now() - interval '1 day') as done
               from stm.providers p
               join stm.jobs j on j.provider_id = p.id
               where p.lsm_id = l.id
           ) j
           cross join lateral (
               select count(*) filter (where d.status = 'open') as open,
                      count(*) filter (where d.status = 'resolved') as resolved
               from stm.providers p
               join stm.jobs x on x.provider_id = p.id
               join stm.disputes d on d.job_id = x.id
               where p.lsm_id = l.id
           ) d
           where l.user_id = $1 and l.status = 'active'"#,
        lsm.0,
    )
    .fetch_optional(pooler)
    .await?;
    Ok(row.map(|row| LsmDashboardView {
        region: row.region,
        area: row.area,
        summary: LsmSummaryView {
            total_providers: row.providers,
            total_jobs: row.jobs,
            pending_service_requests: row.requests,
            pending_disputes: row.open_disputes,
        },
        providers: LsmProviderCountsView {
            pending: row.pending,
            active: row.active,
            inactive: row.inactive,
            rejected: row.rejected,
            banned: row.banned,
        },
        jobs: LsmJobCountsView {
            new: row.new,
            in_progress: row.in_progress,
            completed: row.completed,
            paid: row.paid,
            cancelled: row.cancelled,
            rejected_by_sp: row.rejected_by_sp,
        },
        disputes: LsmDisputeCountsView { pending: row.open_disputes, resolved: row.resolved_disputes },
        recent_activity: LsmRecentActivityView {
            new_providers: row.new_providers,
            completed_jobs: row.completed_jobs,
            documents_verified: row.documents_verified,
        },
    }))
}
