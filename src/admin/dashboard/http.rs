//! `/admin/dashboard`, and the charts and lists beside it.

use axum::extract::State;
use chrono::{DateTime, NaiveTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, ActivityRow};
use super::types::{PERIOD_RULE, Period, time_ago};
use crate::auth::Admin;
use crate::error::{Result, invalid};
use crate::state::ApiState;
use crate::types::{Cents, Timestamp, text_enum};
use crate::web::extract::{Json, Query};
use crate::web::fields::Fields;
use doors::Pooler;

/// The number of activities in an answer, unless the client sets it.
const DEFAULT_ACTIVITIES: i64 = 20;

pub(in crate::admin) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(dashboard))
        .routes(routes!(stats))
        .routes(routes!(activities))
        .routes(routes!(pending_actions))
        .routes(routes!(revenue))
        .routes(routes!(jobs_distribution))
}

/// Figures, under the name that clients read.
#[derive(Serialize, ToSchema)]
struct Data<T> {
    data: T,
}

/// The figures of the start page.
#[derive(Serialize, ToSchema)]
#[schema(as = AdminDashboardView)]
pub(super) struct DashboardView {
    pub users: UserCountsView,
    pub providers: ProviderCountsView,
    pub jobs: JobCountsView,
    pub revenue: RevenueFiguresView,
}

/// How many users there are.
#[derive(Serialize, ToSchema)]
pub(super) struct UserCountsView {
    /// Who may act.
    pub customers: i64,
    /// Who may act, in whatever status.
    pub providers: i64,
    pub lsms: i64,
    /// Users of all roles whose account is banned or closed.
    pub banned: i64,
}

/// How many providers there are, by status.
#[derive(Serialize, ToSchema)]
pub(super) struct ProviderCountsView {
    pub pending: i64,
    pub active: i64,
    pub inactive: i64,
    pub rejected: i64,
    pub banned: i64,
}

/// How many jobs there are, by status.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = AdminJobCountsView)]
pub(super) struct JobCountsView {
    pub new: i64,
    pub in_progress: i64,
    pub completed: i64,
    pub paid: i64,
    pub cancelled: i64,
    pub rejected_by_sp: i64,
}

/// What was received for jobs.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RevenueFiguresView {
    pub total: Cents,
    /// Since midnight in UTC.
    pub today: Cents,
    /// The last 30 days, today included.
    #[serde(rename = "last30Days")]
    pub last_30_days: Cents,
}

/// Returns the figures of the start page.
#[utoipa::path(get, path = "/admin/dashboard", tag = "admin", security(("admin" = [])),
    responses((status = 200, body = Data<DashboardView>)))]
async fn dashboard(State(pooler): State<Pooler>, _who: Admin) -> Result<Json<Data<DashboardView>>> {
    let data = queries::find(&pooler, midnight(Utc::now())).await?;
    Ok(Json(Data { data }))
}

/// The figures on top of the start page.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatsView {
    /// New or in progress.
    pub active_jobs: i64,
    /// Users of all roles who may act.
    pub active_users: i64,
    /// Received since midnight in UTC.
    pub revenue_today: Cents,
    /// Service requests and ban requests that wait for an admin, and providers who wait for their LSM.
    pub pending_approvals: i64,
    /// In whatever status.
    pub total_providers: i64,
    #[serde(rename = "totalLSMs")]
    pub total_lsms: i64,
}

/// Returns the figures on top of the start page.
#[utoipa::path(get, path = "/admin/dashboard/stats", tag = "admin", security(("admin" = [])),
    responses((status = 200, body = Data<StatsView>)))]
async fn stats(State(pooler): State<Pooler>, _who: Admin) -> Result<Json<Data<StatsView>>> {
    let data = queries::stats(&pooler, midnight(Utc::now())).await?;
    Ok(Json(Data { data }))
}

text_enum! {
    /// What an activity is about.
    ActivityKind {
        Job = "job",
        Provider = "provider",
        Customer = "customer",
        Dispute = "dispute",
        ServiceRequest = "service_request",
    }
}

text_enum! {
    /// How an activity is shown.
    ActivityStatus {
        Success = "success",
        Pending = "pending",
        Warning = "warning",
        Info = "info",
    }
}

/// A selection of the activities.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ActivitiesQuery {
    /// Returns only activities of this kind.
    #[serde(rename = "type")]
    #[param(inline)]
    kind: Option<ActivityKind>,
    /// The maximum number of rows, 1 to 100; 20 by default.
    limit: Option<i64>,
}

/// Something that happened.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ActivityView {
    /// Unique in the answer.
    id: String,
    #[serde(rename = "type")]
    kind: ActivityKind,
    message: String,
    status: ActivityStatus,
    /// How long ago, in words.
    time_ago: String,
    created_at: Timestamp,
}

impl ActivityView {
    fn new(row: ActivityRow, now: DateTime<Utc>) -> Self {
        let ActivityRow { kind, id, at, name, about, action } = row;
        let (message, status) = match kind {
            ActivityKind::Job => job_activity(&name, &about, action.as_deref().unwrap_or_default()),
            ActivityKind::Provider => (format!("{name} has registered in {about}"), ActivityStatus::Pending),
            ActivityKind::Customer => (format!("{name} has registered in {about}"), ActivityStatus::Info),
            ActivityKind::Dispute => (format!("{name} disputes a job of {about}"), ActivityStatus::Warning),
            ActivityKind::ServiceRequest => (format!("{name} asks for the service {about}"), ActivityStatus::Pending),
        };
        let (time_ago, id) = (time_ago(at, now), format!("{}-{id}", kind.as_str()));
        Self { id, kind, message, status, time_ago, created_at: Timestamp(at) }
    }
}

/// A job's audit row, in words.
fn job_activity(name: &str, about: &str, action: &str) -> (String, ActivityStatus) {
    let (did, status) = match action {
        "book" => ("has booked", ActivityStatus::Info),
        "accept" | "accept_offer" => ("has accepted", ActivityStatus::Success),
        "close_deal" => ("has closed the deal for", ActivityStatus::Success),
        "mark_complete" => ("has completed", ActivityStatus::Success),
        "mark_payment" => ("has received the payment for", ActivityStatus::Success),
        "review" => ("has reviewed", ActivityStatus::Info),
        "resolve_dispute" => ("has resolved the dispute about", ActivityStatus::Success),
        "cancel" => ("has cancelled", ActivityStatus::Warning),
        "reject" => ("has declined", ActivityStatus::Warning),
        "miss_deadline" => ("has had no answer in time about", ActivityStatus::Warning),
        "dispute" => ("has disputed", ActivityStatus::Warning),
        _ => ("is negotiating", ActivityStatus::Pending),
    };
    (format!("{name} {did} {about}"), status)
}

/// Lists what happened last, newest first.
///
/// # Errors
/// 400 a parameter breaks a rule.
#[utoipa::path(get, path = "/admin/activities", tag = "admin", security(("admin" = [])), params(ActivitiesQuery),
    responses((status = 200, body = Data<Vec<ActivityView>>)))]
async fn activities(
    State(pooler): State<Pooler>,
    _who: Admin,
    Query(query): Query<ActivitiesQuery>,
) -> Result<Json<Data<Vec<ActivityView>>>> {
    let mut rules = Fields::new();
    let limit = rules.limit(query.limit, DEFAULT_ACTIVITIES);
    rules.finish()?;
    let (now, rows) = (Utc::now(), queries::activities(&pooler, query.kind, limit).await?);
    Ok(Json(Data { data: rows.into_iter().map(|row| ActivityView::new(row, now)).collect() }))
}

/// What waits for somebody.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AdminPendingActionsView)]
pub(super) struct PendingActionsView {
    /// Approved by their LSM, waiting for an admin.
    pub service_requests: i64,
    /// Waiting for an admin.
    pub ban_requests: i64,
    /// Providers who wait for their LSM.
    pub provider_onboardings: i64,
    /// Waiting for an LSM.
    pub open_disputes: i64,
    /// Completed, not paid.
    pub unpaid_jobs: i64,
}

/// Counts what waits for somebody.
#[utoipa::path(get, path = "/admin/pending-actions", tag = "admin", security(("admin" = [])),
    responses((status = 200, body = Data<PendingActionsView>)))]
async fn pending_actions(State(pooler): State<Pooler>, _who: Admin) -> Result<Json<Data<PendingActionsView>>> {
    Ok(Json(Data { data: queries::pending_actions(&pooler).await? }))
}

/// The time that a chart covers.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PeriodQuery {
    /// `7days` (the default), `30days`, `90days` or `1year`; also `7d`, `30d`, `90d` or `1y`.
    period: Option<String>,
}

impl PeriodQuery {
    fn check(&self) -> Result<Period> {
        Period::read(self.period.as_deref()).ok_or_else(|| invalid("period", PERIOD_RULE))
    }
}

/// What was received on a day, or in a month.
#[derive(Serialize, ToSchema)]
pub(super) struct RevenuePointView {
    /// The day, or the first day of the month, in UTC.
    pub date: String,
    pub revenue: Cents,
    /// How many jobs were paid.
    pub jobs: i64,
}

/// Returns what was received, a point for each day, or for each month of a year.
///
/// # Errors
/// 400 an unknown period.
#[utoipa::path(get, path = "/admin/revenue", tag = "admin", security(("admin" = [])), params(PeriodQuery),
    responses((status = 200, body = Data<Vec<RevenuePointView>>)))]
async fn revenue(
    State(pooler): State<Pooler>,
    _who: Admin,
    Query(query): Query<PeriodQuery>,
) -> Result<Json<Data<Vec<RevenuePointView>>>> {
    let (period, now) = (query.check()?, Utc::now());
    let data = queries::revenue(&pooler, period, period.start(now), now).await?;
    Ok(Json(Data { data }))
}

/// The jobs that were requested on a day, or in a month, by their present status.
#[derive(Serialize, ToSchema)]
pub(super) struct DistributionPointView {
    /// The day, or the first day of the month, in UTC.
    pub date: String,
    pub total: i64,
    #[serde(flatten)]
    pub jobs: JobCountsView,
}

/// The points of a chart, and their sums.
#[derive(Serialize, ToSchema)]
struct DistributionView {
    data: Vec<DistributionPointView>,
    summary: DistributionPointSumView,
}

/// The sums of all points.
#[derive(Serialize, ToSchema)]
struct DistributionPointSumView {
    total: i64,
    #[serde(flatten)]
    jobs: JobCountsView,
}

impl DistributionView {
    fn new(data: Vec<DistributionPointView>) -> Self {
        let sum = |count: fn(&DistributionPointView) -> i64| data.iter().map(count).sum();
        let summary = DistributionPointSumView {
            total: sum(|point| point.total),
            jobs: JobCountsView {
                new: sum(|point| point.jobs.new),
                in_progress: sum(|point| point.jobs.in_progress),
                completed: sum(|point| point.jobs.completed),
                paid: sum(|point| point.jobs.paid),
                cancelled: sum(|point| point.jobs.cancelled),
                rejected_by_sp: sum(|point| point.jobs.rejected_by_sp),
            },
        };
        Self { data, summary }
    }
}

/// Returns the jobs that were requested by their present status, a point for each day, or for each month of a year.
///
/// # Errors
/// 400 an unknown period.
#[utoipa::path(get, path = "/admin/jobs-distribution", tag = "admin", security(("admin" = [])), params(PeriodQuery),
    responses((status = 200, body = DistributionView)))]
async fn jobs_distribution(
    State(pooler): State<Pooler>,
    _who: Admin,
    Query(query): Query<PeriodQuery>,
) -> Result<Json<DistributionView>> {
    let (period, now) = (query.check()?, Utc::now());
    let data = queries::distribution(&pooler, period, period.start(now), now).await?;
    Ok(Json(DistributionView::new(data)))
}

/// The first moment of a day, in UTC.
fn midnight(now: DateTime<Utc>) -> DateTime<Utc> {
    now.date_naive().and_time(NaiveTime::MIN).and_utc()
}
