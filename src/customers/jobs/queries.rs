//! SQL of the list of a customer's jobs.

use super::http::{BookedProviderView, BookedServiceView, BookedUserView, CustomerJobListedView};
use crate::files::{Audience, FileUrls};
use crate::types::{JobId, JobStatus, ProviderId, ServiceId, Timestamp, UserId};
use doors::Pooler;

/// The jobs of a user who is a customer, newest first.
pub(super) async fn list(
    pooler: &Pooler,
    urls: &FileUrls,
    user_id: UserId,
    limit: i64,
    offset: i64,
) -> sqlx::Result<Vec<CustomerJobListedView>> {
    let rows = sqlx::query!(
        r#"select id as "id!: JobId", status as "status!: JobStatus", service_id as "service_id!: ServiceId",
                  service_name as "service_name!", service_category as "service_category!",
                  provider_id as "provider_id!: ProviderId", business_name as "business_name!",
                  rating as "rating!", first_name as "first_name!", last_name as "last_name!",
                  phone_number, location, zipcode as "zipcode!", images as "images!", scheduled_at,
                  completed_at, created_at as "created_at!"
           from stm.list_customer_jobs_v1($1, $2, $3)"#,
        user_id.0,
        limit,
        offset,
    )
    .fetch_all(pooler)
    .await?;
    let jobs = rows.into_iter().map(|row| CustomerJobListedView {
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
        images: urls.of_references(row.images, Audience::Job(row.id)),
        scheduled_at: row.scheduled_at.map(Timestamp),
        completed_at: row.completed_at.map(Timestamp),
        created_at: row.created_at.into(),
    });
    Ok(jobs.collect())
}
