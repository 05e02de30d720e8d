//! `/admin/jobs`.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, JobFilter};
use crate::admin::list::{NameView, SortOrder};
use crate::auth::Admin;
use crate::error::Result;
use crate::providers::parse_statuses;
use crate::state::ApiState;
use crate::types::{Cents, CustomerId, JobId, JobStatus, LsmId, ProviderId, ServiceId, Timestamp, text_enum};
use crate::web::dates;
use crate::web::extract::{Json, Query};
use crate::web::fields::{Fields, SHORT_TEXT};
use crate::web::page::{Page, PageRequest};
use doors::Pooler;

pub(in crate::admin) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(jobs))
}

text_enum! {
    /// The order of jobs.
    JobOrder {
        CreatedAt = "createdAt",
        Price = "price",
    }
}

/// A selection of the jobs, and their order.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
struct JobsQuery {
    /// Returns only jobs in these states, separated by commas.
    #[param(example = "new,in_progress")]
    status: Option<String>,
    /// Returns only jobs of this provider.
    provider_id: Option<ProviderId>,
    /// Returns only jobs of this customer.
    customer_id: Option<CustomerId>,
    /// Returns only jobs of this service.
    service_id: Option<ServiceId>,
    /// Returns only jobs of this LSM's providers.
    lsm_id: Option<LsmId>,
    /// Returns only jobs of this region's providers.
    region: Option<String>,
    /// Returns only jobs requested on this day, at this moment, or later. ISO-8601; days are in UTC.
    from_date: Option<String>,
    /// Returns only jobs requested until the end of this day, or before this moment. ISO-8601; days are in UTC.
    to_date: Option<String>,
    /// `createdAt` (default) or `price`.
    #[param(inline)]
    sort_by: Option<JobOrder>,
    /// `desc` by default.
    #[param(inline)]
    sort_order: Option<SortOrder>,
    /// The number of the page, from 1.
    page: Option<i64>,
    /// The maximum number of rows, 1 to 100; 20 by default.
    limit: Option<i64>,
}

/// A job in the list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AdminJobView {
    pub id: JobId,
    pub status: JobStatus,
    pub price: Cents,
    pub service: NameView,
    pub category: String,
    pub customer: NameView,
    pub provider: NameView,
    /// Who oversees the provider.
    pub lsm: NameView,
    /// The provider's.
    pub region: String,
    pub zipcode: String,
    /// `pending` or `received`; null if no payment is due.
    pub payment_status: Option<String>,
    pub scheduled_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// Lists the jobs of everybody.
///
/// # Errors
/// 400 a parameter breaks a rule.
#[utoipa::path(get, path = "/admin/jobs", tag = "admin", security(("admin" = [])), params(JobsQuery),
    responses((status = 200, body = Page<AdminJobView>)))]
async fn jobs(
    State(pooler): State<Pooler>,
    _who: Admin,
    Query(query): Query<JobsQuery>,
) -> Result<Json<Page<AdminJobView>>> {
    let mut rules = Fields::new();
    let mut given = |field, text| rules.optional_text(field, text, SHORT_TEXT);
    let status = given("status", query.status);
    let region = given("region", query.region);
    let (from_date, to_date) = (given("fromDate", query.from_date), given("toDate", query.to_date));
    let statuses = status.as_deref().and_then(parse_statuses);
    let states = "must be a list of new, in_progress, completed, paid, cancelled, rejected_by_sp";
    rules.check("status", status.is_none() || statuses.is_some(), states);
    let from = from_date.as_deref().and_then(dates::parse_from);
    rules.check("fromDate", from_date.is_none() || from.is_some(), dates::RULE);
    let until = to_date.as_deref().and_then(dates::parse_until);
    rules.check("toDate", to_date.is_none() || until.is_some(), dates::RULE);
    let page = PageRequest::read(&mut rules, query.page, query.limit);
    rules.finish()?;
    let statuses: Option<Vec<String>> =
        statuses.map(|statuses| statuses.iter().map(|status| status.as_str().to_owned()).collect());
    let filter = JobFilter {
        statuses: statuses.as_deref(),
        provider: query.provider_id,
        customer: query.customer_id,
        service: query.service_id,
        lsm: query.lsm_id,
        region: region.as_deref(),
        from,
        until,
        order: query.sort_by.unwrap_or(JobOrder::CreatedAt),
        direction: query.sort_order.unwrap_or(SortOrder::Desc),
        page,
    };
    let (jobs, total) = queries::list(&pooler, filter).await?;
    Ok(Json(Page::new(jobs, total, page)))
}
