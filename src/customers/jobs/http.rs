//! `/customer/jobs`: the list. What is done with one job is in [`crate::jobs`].

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, ListedJobRow};
use crate::auth::Customer;
use crate::db::Pooler;
use crate::error::Result;
use crate::state::ApiState;
use crate::types::{JobId, JobStatus, ProviderId, ServiceId, Timestamp};
use crate::web::extract::{Json, Query};
use crate::web::fields::{Fields, MAX_LIMIT};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(jobs))
}

/// Which part of the list.
#[derive(Deserialize, IntoParams)]
struct CustomerJobsQuery {
    /// At most so many, 1 to 100; 100 unless given.
    limit: Option<i64>,
    /// Skip so many, 0 to 100,000.
    offset: Option<i64>,
}

/// A job in its customer's list.
#[derive(Serialize, ToSchema)]
struct CustomerJobListedView {
    id: JobId,
    status: JobStatus,
    service: BookedServiceView,
    provider: BookedProviderView,
    /// Where: in the customer's words, or the ZIP code.
    location: String,
    /// URLs of pictures.
    images: Vec<String>,
    scheduled_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    created_at: Timestamp,
}

/// What is booked.
#[derive(Serialize, ToSchema)]
struct BookedServiceView {
    id: ServiceId,
    name: String,
    category: String,
}

/// Who is booked.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct BookedProviderView {
    id: ProviderId,
    business_name: String,
    /// Mean of all reviews, 0 without any.
    rating: f64,
    user: BookedUserView,
}

/// The booked provider's user.
#[derive(Serialize, ToSchema)]
struct BookedUserView {
    first_name: String,
    last_name: String,
    phone_number: Option<String>,
}

impl From<ListedJobRow> for CustomerJobListedView {
    fn from(row: ListedJobRow) -> Self {
        Self {
            id: row.id,
            status: row.status,
            service: BookedServiceView { id: row.service_id, name: row.service_name, category: row.service_category },
            provider: BookedProviderView {
                id: row.provider_id,
                business_name: row.business_name,
                rating: row.rating,
                user: BookedUserView {
                    first_name: row.first_name,
                    last_name: row.last_name,
                    phone_number: row.phone_number,
                },
            },
            location: row.location.unwrap_or(row.zipcode),
            images: row.images,
            scheduled_at: row.scheduled_at.map(Timestamp),
            completed_at: row.completed_at.map(Timestamp),
            created_at: row.created_at.into(),
        }
    }
}

/// The calling customer's jobs, newest first.
///
/// # Errors
/// 400 a parameter is out of range.
#[utoipa::path(get, path = "/customer/jobs", tag = "customers", security(("customer" = [])),
    params(CustomerJobsQuery),
    responses(
        (status = 200, body = Vec<CustomerJobListedView>),
        (status = 400, description = "A parameter is out of range"),
    ))]
async fn jobs(
    State(pooler): State<Pooler>,
    who: Customer,
    Query(query): Query<CustomerJobsQuery>,
) -> Result<Json<Vec<CustomerJobListedView>>> {
    let mut rules = Fields::new();
    let limit = rules.limit(query.limit, MAX_LIMIT);
    let offset = rules.offset(query.offset);
    rules.finish()?;
    let rows = queries::list(&pooler, who.user_id, limit, offset).await?;
    Ok(Json(rows.into_iter().map(Into::into).collect()))
}
