//! SQL of the dashboard, a statement each. What grows with the marketplace is read from `stm.tallied`.

use chrono::{DateTime, Utc};

use super::http::{
    ActivityKind, DashboardView, DistributionPointView, JobCountsView, PendingActionsView, ProviderCountsView,
    RevenueFiguresView, RevenuePointView, StatsView, UserCountsView,
};
use super::types::Period;
use crate::types::Cents;
use doors::Pooler;

/// The figures of the start page. `today` is the day's first moment.
pub(super) async fn find(pooler: &Pooler, today: DateTime<Utc>) -> sqlx::Result<DashboardView> {
    let row = sqlx::query!(
        r#"select coalesce(sum(count) filter (where kind = 'user customer'), 0)::bigint as "customers!",
                  coalesce(sum(count) filter (where kind = 'user service_provider'), 0)::bigint as "provider_users!",
                  coalesce(sum(count) filter (where kind = 'user banned'), 0)::bigint as "banned!",
                  (select count(*) from stm.local_service_managers where deleted_at is null) as "lsms!",
                  coalesce(sum(count) filter (where kind = 'provider pending'), 0)::bigint as "pending!",
                  coalesce(sum(count) filter (where kind = 'provider active'), 0)::bigint as "active!",
                  coalesce(sum(count) filter (where kind = 'provider inactive'), 0)::bigint as "inactive!",
                  coalesce(sum(count) filter (where kind = 'provider rejected'), 0)::bigint as "rejected!",
                  coalesce(sum(count) filter (where kind = 'provider banned'), 0)::bigint as "providers_banned!",
                  coalesce(sum(count) filter (where kind = 'job new'), 0)::bigint as "new!",
                  coalesce(sum(count) filter (where kind = 'job in_progress'), 0)::bigint as "in_progress!",
                  coalesce(sum(count) filter (where kind = 'job completed'), 0)::bigint as "completed!",
                  coalesce(sum(count) filter (where kind = 'job paid'), 0)::bigint as "paid!",
                  coalesce(sum(count) filter (where kind = 'job cancelled'), 0)::bigint as "cancelled!",
                  coalesce(sum(count) filter (where kind = 'job rejected_by_sp'), 0)::bigint as "rejected_by_sp!",
                  coalesce(sum(cents), 0)::bigint as "revenue!: Cents",
                  coalesce(sum(cents) filter (where day >= $1::date), 0)::bigint as "revenue_today!: Cents",
                  coalesce(sum(cents) filter (where day >= $1::date - 29), 0)::bigint as "revenue_month!: Cents"
           from stm.tallied"#,
        today.date_naive(),
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
        r#"select coalesce(sum(count) filter (where kind in ('job new', 'job in_progress')), 0)::bigint as "active_jobs!",
                  coalesce(sum(count) filter (where kind like 'user %' and kind <> 'user banned'), 0)::bigint as "active_users!",
                  coalesce(sum(cents) filter (where day >= $1::date), 0)::bigint as "revenue_today!: Cents",
                  (select count(*) from stm.service_requests where status = 'lsm_approved')
                      + (select count(*) from stm.ban_requests where status = 'pending')
                      + (select count(*) from stm.providers where status = 'pending') as "pending_approvals!",
                  coalesce(sum(count) filter (where kind like 'provider %'), 0)::bigint as "total_providers!",
                  (select count(*) from stm.local_service_managers where deleted_at is null) as "total_lsms!"
           from stm.tallied"#,
        today.date_naive(),
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
                  (select coalesce(sum(count), 0)::bigint from stm.tallied where kind = 'job completed') as "unpaid_jobs!""#,
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
                       s.name as about, e.action
                from (select * from stm.job_events where $1::text is null or $1 = 'job' order by id desc limit $2) e
                join stm.jobs j on j.id = e.job_id
                join stm.services s on s.id = j.service_id
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
        r#"select to_char(point, 'YYYY-MM-DD') as "date!", coalesce(sum(t.cents), 0)::bigint as "revenue!: Cents",
                  coalesce(sum(t.count) filter (where t.kind = 'payment job'), 0)::bigint as "jobs!"
           from generate_series($2::date::timestamp, $3::date::timestamp, ('1 ' || $1)::interval) point
           left join stm.tallied t on date_trunc($1, t.day::timestamp) = point and t.day >= $2 and t.kind like 'payment %'
           group by point
           order by point"#,
        period.unit(),
        start.date_naive(),
        now.date_naive(),
    )
    .fetch_all(pooler)
    .await
}

/// The jobs that were requested from `start` on by their present status, a point for each day or month.
pub(super) async fn distribution(
    pooler: &Pooler,
    period: Period,
    start: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<DistributionPointView>> {
    let rows = sqlx::query!(
        r#"select to_char(point, 'YYYY-MM-DD') as "date!",
                  coalesce(sum(t.count) filter (where t.kind = 'job new'), 0)::bigint as "new!",
                  coalesce(sum(t.count) filter (where t.kind = 'job in_progress'), 0)::bigint as "in_progress!",
                  coalesce(sum(t.count) filter (where t.kind = 'job completed'), 0)::bigint as "completed!",
                  coalesce(sum(t.count) filter (where t.kind = 'job paid'), 0)::bigint as "paid!",
                  coalesce(sum(t.count) filter (where t.kind = 'job cancelled'), 0)::bigint as "cancelled!",
                  coalesce(sum(t.count) filter (where t.kind = 'job rejected_by_sp'), 0)::bigint as "rejected_by_sp!"
           from generate_series($2::date::timestamp, $3::date::timestamp, ('1 ' || $1)::interval) point
           left join stm.tallied t on date_trunc($1, t.day::timestamp) = point and t.day >= $2 and t.kind like 'job %'
           group by point
           order by point"#,
        period.unit(),
        start.date_naive(),
        now.date_naive(),
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
