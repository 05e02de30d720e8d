//! `/customer/jobs`: the list. Actions on one job are in [`crate::jobs`].

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use crate::auth::Customer;
use crate::error::Result;
use crate::files::FileUrls;
use crate::state::ApiState;
use crate::types::{JobId, JobStatus, ProviderId, ServiceId, Timestamp};
use crate::web::extract::{Json, Query};
use crate::web::fields::{Fields, MAX_LIMIT};
use doors::Pooler;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(jobs))
}

/// A part of the list.
#[derive(Deserialize, IntoParams)]
struct CustomerJobsQuery {
    /// The maximum number of rows, 1 to 100; 100 by default.
    limit: Option<i64>,
    /// The number of rows to skip, 0 to 100,000.
    offset: Option<i64>,
}

/// A job in its customer's list.
#[derive(Serialize, ToSchema)]
pub(super) struct CustomerJobListedView {
    pub id: JobId,
    pub status: JobStatus,
    pub service: BookedServiceView,
    pub provider: BookedProviderView,
    /// Where: in the customer's words, or the ZIP code.
    pub location: String,
    /// URLs of pictures.
    pub images: Vec<String>,
    pub scheduled_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// The booked service.
#[derive(Serialize, ToSchema)]
pub(super) struct BookedServiceView {
    pub id: ServiceId,
    pub name: String,
    pub category: String,
}

/// The booked provider.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct BookedProviderView {
    pub id: ProviderId,
    pub business_name: String,
    /// The mean of all reviews; 0 without any.
    pub rating: f64,
    pub user: BookedUserView,
}

/// The booked provider's user.
#[derive(Serialize, ToSchema)]
pub(super) struct BookedUserView {
    pub first_name: String,
    pub last_name: String,
    pub phone_number: Option<String>,
}

/// Lists the calling customer's jobs, newest first.
///
/// # Errors
/// 400 a parameter breaks a rule.
#[utoipa::path(get, path = "/customer/jobs", tag = "customers", security(("customer" = [])),
    params(CustomerJobsQuery),
    responses(
        (status = 200, body = Vec<CustomerJobListedView>),
        (status = 400, description = "A parameter is out of range"),
    ))]
async fn jobs(
    State(pooler): State<Pooler>,
    State(urls): State<FileUrls>,
    who: Customer,
    Query(query): Query<CustomerJobsQuery>,
) -> Result<Json<Vec<CustomerJobListedView>>> {
    let mut rules = Fields::new();
    let limit = rules.limit(query.limit, MAX_LIMIT);
    let offset = rules.offset(query.offset);
    rules.finish()?;
    Ok(Json(queries::list(&pooler, &urls, who.user_id, limit, offset).await?))
}
