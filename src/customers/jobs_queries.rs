//! The list of a customer's jobs.

use chrono::{DateTime, Utc};

use crate::db::Pooler;
use crate::types::{JobId, JobStatus, ProviderId, ServiceId, UserId};

/// A job in its customer's list.
#[derive(Debug)]
pub struct ListedJobRow {
    /// The job.
    pub id: JobId,
    /// Where it is between request and payment.
    pub status: JobStatus,
    /// Which service.
    pub service_id: ServiceId,
    /// The service's name.
    pub service_name: String,
    /// The service's category.
    pub service_category: String,
    /// The present provider.
    pub provider_id: ProviderId,
    /// The name of the business.
    pub business_name: String,
    /// Mean of the provider's reviews, 0 without any.
    pub rating: f64,
    /// The provider's first name.
    pub first_name: String,
    /// The provider's last name.
    pub last_name: String,
    /// E.164; none if the provider came from Supabase Auth.
    pub phone_number: Option<String>,
    /// Where: in the customer's words.
    pub location: Option<String>,
    /// Where: five digits.
    pub zipcode: String,
    /// URLs of pictures.
    pub images: Vec<String>,
    /// The appointment.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// When it was done.
    pub completed_at: Option<DateTime<Utc>>,
    /// When it was requested.
    pub created_at: DateTime<Utc>,
}

/// The jobs of a user who is a customer, newest first.
///
/// # Errors
/// Those of the database.
pub async fn list(pooler: &Pooler, user_id: UserId, limit: i64, offset: i64) -> sqlx::Result<Vec<ListedJobRow>> {
    sqlx::query_as!(
        ListedJobRow,
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
    .await
}
