//! `/provider/pending-jobs` and `/provider/jobs`.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, JobFilter};
use crate::auth::Provider;
use crate::error::Result;
use crate::files::FileUrls;
use crate::providers::types::parse_statuses;
use crate::state::ApiState;
use crate::types::{Cents, ChatId, JobId, JobStatus, Timestamp};
use crate::web::dates;
use crate::web::extract::{Json, Query};
use crate::web::fields::Fields;
use crate::web::page::{Page, PageRequest};
use doors::Pooler;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(pending_jobs)).routes(routes!(jobs))
}

/// The customer who booked.
#[derive(Serialize, ToSchema)]
pub(super) struct JobCustomerView {
    /// First and last name.
    pub name: String,
    pub phone: Option<String>,
}

/// A job without agreed terms.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PendingJobView {
    pub id: JobId,
    /// The service's name.
    pub service: String,
    pub category: String,
    pub customer: JobCustomerView,
    /// Where: in the customer's words, or the ZIP code.
    pub location: String,
    pub zipcode: String,
    /// URLs of pictures.
    pub images: Vec<String>,
    /// Answers to the service's questions: an object, or a list.
    pub answers: serde_json::Value,
    pub price: Cents,
    pub customer_budget: Option<Cents>,
    pub scheduled_at: Option<Timestamp>,
    /// The deadline for the provider to answer.
    pub response_deadline: Timestamp,
    /// The same as `responseDeadline`, for clients that read it under this name.
    #[serde(rename = "response_deadline")]
    pub response_deadline_snake: Timestamp,
    /// Whether the provider has accepted.
    pub sp_accepted: bool,
    /// Whether an offer is open.
    pub pending_approval: bool,
    /// The newest chat about it that the provider is in.
    pub chat_id: Option<ChatId>,
    pub created_at: Timestamp,
}

/// Lists the calling provider's new jobs, newest first, at most 100.
#[utoipa::path(get, path = "/provider/pending-jobs", tag = "providers", security(("provider" = [])),
    responses((status = 200, body = Vec<PendingJobView>)))]
async fn pending_jobs(
    State(pooler): State<Pooler>,
    State(urls): State<FileUrls>,
    who: Provider,
) -> Result<Json<Vec<PendingJobView>>> {
    Ok(Json(queries::list_pending(&pooler, &urls, who.user_id).await?))
}

/// A selection of the jobs.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(rename_all = "camelCase")]
pub(crate) struct JobsQuery {
    /// Returns only jobs in these states, separated by commas.
    #[param(example = "new,in_progress")]
    status: Option<String>,
    /// Returns only jobs requested on this day, at this moment, or later. ISO-8601; days are in UTC.
    from_date: Option<String>,
    /// Returns only jobs requested until the end of this day, or before this moment. ISO-8601; days are in UTC.
    to_date: Option<String>,
    /// The number of the page, from 1.
    page: Option<i64>,
    /// The maximum number of rows, 1 to 100; 20 by default.
    limit: Option<i64>,
}

impl JobsQuery {
    /// Checks the selection.
    ///
    /// # Errors
    /// 400 with each bad parameter named.
    pub(crate) fn check(self) -> Result<JobFilter> {
        let mut rules = Fields::new();
        let given = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let (status, from_date, to_date) = (given(self.status), given(self.from_date), given(self.to_date));
        let statuses = status.as_deref().and_then(parse_statuses);
        let states = "must be a list of new, in_progress, completed, paid, cancelled, rejected_by_sp";
        rules.check("status", status.is_none() || statuses.is_some(), states);
        let from = from_date.as_deref().and_then(dates::parse_from);
        rules.check("fromDate", from_date.is_none() || from.is_some(), dates::RULE);
        let until = to_date.as_deref().and_then(dates::parse_until);
        rules.check("toDate", to_date.is_none() || until.is_some(), dates::RULE);
        let page = PageRequest::read(&mut rules, self.page, self.limit);
        rules.finish()?;
        Ok(JobFilter { statuses, from, until, page })
    }
}

/// A job in a provider's list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderJobListedView {
    pub id: JobId,
    /// The service's name.
    pub service: String,
    pub category: String,
    pub customer: JobCustomerView,
    pub status: JobStatus,
    pub price: Cents,
    /// `pending` or `received`; null if no payment is due. Never null for a completed job.
    pub payment_status: Option<String>,
    /// URLs of pictures.
    pub images: Vec<String>,
    pub scheduled_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
    pub created_at: Timestamp,
    /// The newest chat about it that the provider is in.
    pub chat_id: Option<ChatId>,
}

/// Lists the calling provider's jobs, newest first.
///
/// # Errors
/// 400 a parameter breaks a rule.
#[utoipa::path(get, path = "/provider/jobs", tag = "providers", security(("provider" = [])), params(JobsQuery),
    responses((status = 200, body = Page<ProviderJobListedView>)))]
async fn jobs(
    State(pooler): State<Pooler>,
    State(urls): State<FileUrls>,
    who: Provider,
    Query(query): Query<JobsQuery>,
) -> Result<Json<Page<ProviderJobListedView>>> {
    let filter = query.check()?;
    let (jobs, total) = queries::list(&pooler, &urls, who.user_id, &filter).await?;
    Ok(Json(Page::new(jobs, total, filter.page)))
}
