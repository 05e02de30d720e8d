//! SQL of the dashboard, a statement each.

use chrono::{DateTime, Utc};

use super::http::{
    ActivityKind, DashboardView, DistributionPointView, JobCountsView, PendingActionsView, ProviderCountsView,
    RevenueFiguresView, RevenuePointView, StatsView, UserCountsView,
};
use super::types::Period;
use crate::types::Cents;
use doors::Pooler;

/// The figures of the start page. `today` is the day's first moment. Each status is counted in its own part of an index, and
/// the revenue is that of the providers' rows: no pass over all jobs or payments.
pub(super) async fn find(pooler: &Pooler, today: DateTime<Utc>) -> sqlx::Result<DashboardView> {
    let row = sqlx::query!(
        r#"select (select count(*) from stm.users where role = 'customer' and banned_at is null) as "customers!",
                  (select count(*) from stm.users where role = 'service_provider' and banned_at is null) as "provider_users!",
                  (select count(*) from stm.users where banned_at is not null) as "banned!",
                  (select count(*) from stm.local_service_managers where deleted_at is null) as "lsms!",
                  p.pending as "pending!", p.active as "active!", p.inactive as "inactive!", p.rejected as "rejected!",
                  p.banned as "providers_banned!",
                  (select count(*) from stm.jobs where status = 'new') as "new!",
                  (select count(*) from stm.jobs where status = 'in_progress') as "in_progress!",
                  (select count(*) from stm.jobs where status = 'completed') as "completed!",
                  (select count(*) from stm.jobs where status = 'paid') as "paid!",
                  (select count(*) from stm.jobs where status = 'cancelled') as "cancelled!",
                  (select count(*) from stm.jobs where status = 'rejected_by_sp') as "rejected_by_sp!",
                  p.revenue as "revenue!: Cents", y.today as "revenue_today!: Cents", y.month as "revenue_month!: Cents"
           from (select count(*) filter (where status = 'pending') as pending,
                        count(*) filter (where status = 'active') as active,
                        count(*) filter (where status = 'inactive') as inactive,
                        count(*) filter (where status = 'rejected') as rejected,
                        count(*) filter (where status = 'banned') as banned,
                        coalesce(sum(earnings_cents), 0)::bigint as revenue
                 from stm.providers) p,
                (select coalesce(sum(amount_cents) filter (where marked_at >= $1), 0)::bigint as today,
                        coalesce(sum(amount_cents), 0)::bigint as month
                 from stm.payments
                 where status = 'received' and marked_at >= $1::timestamptz - interval '29 days') y"#,
        today,
    )
    .fetch_one(pooler)
    .await?;
    Ok(DashboardView {
        users: UserCountsView {
            customers: row.customers,
            providers: row.provider_users,
            lsms: row.lsms,
            banned: row.banned,
        },
        providers: ProviderCountsView {
            pending: row.pending,
            active: row.active,
            inactive: row.inactive,
            rejected: row.rejected,
            banned: row.providers_banned,
        },
        jobs: JobCountsView {
            new: row.new,
            in_progress: row.in_progress,
            completed: row.completed,
            paid: row.paid,
            cancelled: row.cancelled,
            rejected_by_sp: row.rejected_by_sp,
        },
        revenue: RevenueFiguresView { total: row.revenue, today: row.revenue_today, last_30_days: row.revenue_month },
    })
}

/// The figures on top of the start page.
pub(super) async fn stats(pooler: &Pooler, today: DateTime<Utc>) -> sqlx::Result<StatsView> {
    sqlx::query_as!(
        StatsView,
        r#"select (select count(*) from stm.jobs where status in ('new', 'in_progress')) as "active_jobs!",
                  (select count(*) from stm.users where banned_at is null) as "active_users!",
                  (select coalesce(sum(amount_cents), 0)::bigint from stm.payments
                   where status = 'received' and marked_at >= $1) as "revenue_today!: Cents",
                  (select count(*) from stm.service_requests where status = 'lsm_approved')
                      + (select count(*) from stm.ban_requests where status = 'pending')
                      + (select count(*) from stm.providers where status = 'pending') as "pending_approvals!",
                  (select count(*) from stm.providers) as "total_providers!",
                  (select count(*) from stm.local_service_managers where deleted_at is null) as "total_lsms!""#,
        today,
    )
    .fetch_one(pooler)
    .await
}

/// What waits for somebody.
pub(super) async fn pending_actions(pooler: &Pooler) -> sqlx::Result<PendingActionsView> {
    sqlx::query_as!(
        PendingActionsView,
        r#"select (select count(*) from stm.service_requests where status = 'lsm_approved') as "service_requests!",
                  (select count(*) from stm.ban_requests where status = 'pending') as "ban_requests!",
                  (select count(*) from stm.providers where status = 'pending') as "provider_onboardings!",
                  (select count(*) from stm.disputes where status = 'open') as "open_disputes!",
                  (select count(*) from stm.jobs where status = 'completed') as "unpaid_jobs!""#,
    )
    .fetch_one(pooler)
    .await
}

/// Something that happened.
#[derive(Debug)]
pub(super) struct ActivityRow {
    pub kind: ActivityKind,
    pub id: i64,
    pub at: DateTime<Utc>,
    /// Who did it.
    pub name: String,
    /// Whom or what it concerns.
    pub about: String,
    /// The action, of a job.
    pub action: Option<String>,
}

/// What happened last, newest first: of one kind, or of all. Each kind is read from the end of its own index.
pub(super) async fn activities(
    pooler: &Pooler,
    kind: Option<ActivityKind>,
    limit: i64,
) -> sqlx::Result<Vec<ActivityRow>> {
    sqlx::query_as!(
        ActivityRow,
        r#"select x.kind as "kind!: ActivityKind", x.id as "id!", x.at as "at!", x.name as "name!", x.about as "about!", x.action
           from (
               (select 'job' as kind, e.id, e.at, coalesce(a.first_name || ' ' || a.last_name, 'STM') as name,
                       s.name || ' by ' || p.business_name as about, e.action
                from (select * from stm.job_events where $1::text is null or $1 = 'job' order by id desc limit $2) e
                join stm.jobs j on j.id = e.job_id
                join stm.services s on s.id = j.service_id
                join stm.providers p on p.id = j.provider_id
                left join stm.users a on a.id = e.actor_id)
               union all
               (select 'provider', p.id, p.created_at, p.business_name, p.region, null
                from stm.providers p where $1::text is null or $1 = 'provider' order by p.id desc limit $2)
               union all
               (select 'customer', c.id, c.created_at, u.first_name || ' ' || u.last_name, c.region, null
                from (select * from stm.customers where $1::text is null or $1 = 'customer' order by id desc limit $2) c
                join stm.users u on u.id = c.user_id)
               union all
               (select 'dispute', d.id, d.created_at, u.first_name || ' ' || u.last_name, p.business_name, null
                from (select * from stm.disputes where $1::text is null or $1 = 'dispute' order by id desc limit $2) d
                join stm.jobs j on j.id = d.job_id
                join stm.customers c on c.id = j.customer_id
                join stm.users u on u.id = c.user_id
                join stm.providers p on p.id = j.provider_id)
               union all
               (select 'service_request', r.id, r.created_at, u.first_name || ' ' || u.last_name, r.service_name, null
                from (select * from stm.service_requests
                      where $1::text is null or $1 = 'service_request' order by id desc limit $2) r
                join stm.users u on u.id = r.requested_by)
           ) x
           order by x.at desc, x.kind, x.id desc
           limit $2"#,
        kind.map(ActivityKind::as_str),
        limit,
    )
    .fetch_all(pooler)
    .await
}

/// Received payments from `start` on, a point for each day or month.
pub(super) async fn revenue(
    pooler: &Pooler,
    period: Period,
    start: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<RevenuePointView>> {
    sqlx::query_as!(
        RevenuePointView,
        r#"select to_char(point, 'YYYY-MM-DD') as "date!", y.cents as "revenue!: Cents", y.jobs as "jobs!"
           from generate_series($2::timestamptz at time zone 'UTC', $3::timestamptz at time zone 'UTC', ('1 ' || $1)::interval) point
           cross join lateral (
               select coalesce(sum(amount_cents), 0)::bigint as cents, count(*) filter (where kind = 'job') as jobs
               from stm.payments
               where status = 'received' and marked_at >= point at time zone 'UTC'
                 and marked_at < (point + ('1 ' || $1)::interval) at time zone 'UTC'
           ) y
           order by point"#,
        period.unit(),
        start,
        now,
    )
    .fetch_all(pooler)
    .await
}

/// The jobs that were requested from `start` on by their present status, a point for each day or month. Each number is a
/// part of the index by status.
pub(super) async fn distribution(
    pooler: &Pooler,
    period: Period,
    start: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<DistributionPointView>> {
    let rows = sqlx::query!(
        r#"select to_char(point, 'YYYY-MM-DD') as "date!",
                  (select count(*) from stm.jobs j where j.status = 'new' and j.created_at >= since and j.created_at < until) as "new!",
                  (select count(*) from stm.jobs j where j.status = 'in_progress' and j.created_at >= since and j.created_at < until)
                      as "in_progress!",
                  (select count(*) from stm.jobs j where j.status = 'completed' and j.created_at >= since and j.created_at < until)
                      as "completed!",
                  (select count(*) from stm.jobs j where j.status = 'paid' and j.created_at >= since and j.created_at < until)
                      as "paid!",
                  (select count(*) from stm.jobs j where j.status = 'cancelled' and j.created_at >= since and j.created_at < until)
                      as "cancelled!",
                  (select count(*) from stm.jobs j where j.status = 'rejected_by_sp' and j.created_at >= since and j.created_at < until)
                      as "rejected_by_sp!"
           from generate_series($2::timestamptz at time zone 'UTC', $3::timestamptz at time zone 'UTC', ('1 ' || $1)::interval) point
           cross join lateral (
               select point at time zone 'UTC' as since, (point + ('1 ' || $1)::interval) at time zone 'UTC' as until
           ) bounds
           order by point"#,
        period.unit(),
        start,
        now,
    )
    .fetch_all(pooler)
    .await?;
    let points = rows.into_iter().map(|row| DistributionPointView {
        date: row.date,
        total: row.new + row.in_progress + row.completed + row.paid + row.cancelled + row.rejected_by_sp,
        jobs: JobCountsView {
            new: row.new,
            in_progress: row.in_progress,
            completed: row.completed,
            paid: row.paid,
            cancelled: row.cancelled,
            rejected_by_sp: row.rejected_by_sp,
        },
    });
    Ok(points.collect())
}
