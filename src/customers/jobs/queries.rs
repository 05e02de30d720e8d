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
        r#"select j.id as "id: JobId", j.status as "status: JobStatus", s.id as "service_id: ServiceId",
                  s.name as service_name, s.category as service_category, p.id as "provider_id: ProviderId",
                  p.business_name, p.rating::float8 as "rating!", u.first_name, u.last_name, u.phone_number,
                  j.location, j.zipcode, j.images, j.scheduled_at, j.completed_at, j.created_at
           from (select j.id, j.status, j.service_id, j.provider_id, j.location, j.zipcode, j.images, j.scheduled_at,
                        j.completed_at, j.created_at
                 from stm.jobs j
                 where j.customer_id = (select c.id from stm.customers c where c.user_id = $1)
                 order by j.id desc
                 limit $2 offset $3) j
           join stm.services s on s.id = j.service_id
           join stm.providers p on p.id = j.provider_id
           join stm.users u on u.id = p.user_id
           order by j.id desc"#,
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
