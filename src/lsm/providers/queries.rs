//! SQL of an LSM's providers.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use sqlx::types::Json;

use super::http::{
    LsmProviderDetailsView, LsmProviderListedView, LsmProviderOwnerView, LsmProviderStatisticsView,
    LsmProviderUserView, LsmProviderView, LsmRecentFeedbackView, LsmRecentJobView, ServiceNameView,
};
use crate::providers::{DocumentView, OfferedServiceView, ProviderStatus};
use crate::types::{Cents, JobId, JobStatus, ProviderId, ReviewId, ServiceId, Timestamp, UserId};
use crate::web::page::PageRequest;
use doors::Pooler;

/// A page of an active LSM's providers, newest first, and their total number.
pub(super) async fn list(
    pooler: &Pooler,
    lsm: UserId,
    status: Option<ProviderStatus>,
    page: PageRequest,
) -> sqlx::Result<(Vec<LsmProviderListedView>, i64)> {
    // A page without providers is one row of nulls.
    let rows = sqlx::query!(
        r#"with found as not materialized (
               select p.id
               from stm.providers p
               join stm.local_service_managers l on l.id = p.lsm_id and l.status = 'active'
               where l.user_id = $1 and ($2::text is null or p.status = $2)
           )
           select n.total as "total!", p.id as "id?: ProviderId", p.business_name as "business_name?",
                  p.status as "status?: ProviderStatus", p.rejection_reason as "rejection_reason?",
                  p.rating::float8 as rating, p.experience_years as "experience_years?",
                  u.first_name as "first_name?", u.last_name as "last_name?", u.email as "email?",
                  coalesce(u.phone_number, '') as "phone_number!",
                  array(select z.zip_code from stm.provider_zip_codes z where z.provider_id = p.id
                        order by z.position limit 200) as "zip_codes!",
                  array(select s.name from stm.provider_services o join stm.services s on s.id = o.service_id
                        where o.provider_id = p.id and s.status = 'approved' order by s.name limit 200) as "services!",
                  (select count(*) from stm.provider_documents d where d.provider_id = p.id) as "documents!",
                  (select count(*) from stm.jobs j where j.provider_id = p.id) as "jobs!",
                  p.created_at as "created_at?"
           from (select count(*) as total from found) n
           left join (select f.id from found f order by f.id desc limit $3 offset $4) page on true
           left join stm.providers p on p.id = page.id
           left join stm.users u on u.id = p.user_id
           order by p.id desc"#,
        lsm.0,
        status.map(ProviderStatus::as_str),
        page.limit,
        page.offset(),
    )
    .fetch_all(pooler)
    .await?;
    let total = rows.first().map_or(0, |row| row.total);
    let providers = rows.into_iter().filter_map(|row| {
        Some(LsmProviderListedView {
            id: row.id?,
            business_name: row.business_name?,
            status: row.status?,
            rejection_reason: row.rejection_reason,
            rating: row.rating?,
            experience: row.experience_years.unwrap_or(0),
            user: LsmProviderUserView {
                first_name: row.first_name?,
                last_name: row.last_name?,
                email: row.email?,
                phone_number: row.phone_number,
            },
            service_areas: row.zip_codes,
            services: row.services.into_iter().map(|name| ServiceNameView { name }).collect(),
            document_count: row.documents,
            job_count: row.jobs,
            created_at: row.created_at?.into(),
        })
    });
    Ok((providers.collect(), total))
}

/// As it comes out of `jsonb_build_object`.
#[derive(Debug, Deserialize)]
struct ServiceRow {
    id: ServiceId,
    name: String,
    category: String,
}

/// As it comes out of `jsonb_build_object`.
#[derive(Debug, Deserialize)]
struct RecentJobRow {
    id: JobId,
    service: String,
    customer: String,
    status: JobStatus,
    price_cents: i64,
    completed_at: Option<DateTime<Utc>>,
}

/// As it comes out of `jsonb_build_object`.
#[derive(Debug, Deserialize)]
struct RecentFeedbackRow {
    id: ReviewId,
    rating: i16,
    customer: String,
    feedback: Option<String>,
    created_at: DateTime<Utc>,
}

/// A provider of an active LSM. Returns `None` if there is no such provider, or it is another LSM's.
pub(super) async fn find(pooler: &Pooler, id: ProviderId, lsm: UserId) -> sqlx::Result<Option<LsmProviderDetailsView>> {
    let row = sqlx::query!(
        r#"select p.business_name, p.status as "status: ProviderStatus", p.rejection_reason, p.rating::float8 as "rating!",
                  p.experience_years, p.experience_level, p.description, p.location, p.website_url, p.warnings, p.total_jobs,
                  p.earnings_cents, p.created_at, stm.documents_of(p.id) as "documents!: Json<Vec<DocumentView>>",
                  u.first_name || ' ' || u.last_name as "name!", u.email, coalesce(u.phone_number, '') as "phone!",
                  u.created_at as joined_at,
                  (select max(login.opened_at)
                   from (select min(t.created_at) as opened_at from stm.refresh_tokens t
                         where t.user_id = u.id group by t.family_id) login) as last_login,
                  (select max(e.at) from stm.provider_events e where e.provider_id = p.id and e.action = 'approve')
                      as approved_at,
                  exists (select from stm.ban_requests b where b.provider_id = p.id and b.status = 'pending')
                      as "ban_requested!",
                  (select count(*) from stm.reviews r where r.provider_id = p.id) as "reviews!",
                  n.total as "jobs!", n.completed as "completed!", n.cancelled as "cancelled!", n.active as "active!",
                  array(select z.zip_code from stm.provider_zip_codes z where z.provider_id = p.id
                        order by z.position limit 200) as "zip_codes!",
                  (select coalesce(jsonb_agg(jsonb_build_object('id', s.id, 'name', s.name, 'category', s.category)
                                             order by s.name), '[]')
                   from (select s.id, s.name, s.category
                         from stm.provider_services o
                         join stm.services s on s.id = o.service_id and s.status = 'approved'
                         where o.provider_id = p.id
                         order by s.name
                         limit 200) s) as "services!: Json<Vec<ServiceRow>>",
                  (select coalesce(jsonb_agg(jsonb_build_object(
                              'id', j.id, 'service', s.name, 'customer', cu.first_name || ' ' || cu.last_name,
                              'status', j.status, 'price_cents', j.price_cents, 'completed_at', j.completed_at)
                              order by j.id desc), '[]')
                   from (select j.id, j.service_id, j.customer_id, j.status, j.price_cents, j.completed_at
                         from stm.jobs j where j.provider_id = p.id order by j.id desc limit 10) j
                   join stm.services s on s.id = j.service_id
                   join stm.customers c on c.id = j.customer_id
                   join stm.users cu on cu.id = c.user_id) as "recent_jobs!: Json<Vec<RecentJobRow>>",
                  (select coalesce(jsonb_agg(jsonb_build_object(
                              'id', r.id, 'rating', r.rating, 'customer', cu.first_name || ' ' || cu.last_name,
                              'feedback', r.feedback, 'created_at', r.created_at) order by r.id desc), '[]')
                   from (select r.id, r.customer_id, r.rating, r.feedback, r.created_at
                         from stm.reviews r where r.provider_id = p.id order by r.id desc limit 10) r
                   join stm.customers c on c.id = r.customer_id
                   join stm.users cu on cu.id = c.user_id) as "recent_feedback!: Json<Vec<RecentFeedbackRow>>"
           from stm.providers p
           join stm.local_service_managers l on l.id = p.lsm_id and l.status = 'active'
           join stm.users u on u.id = p.user_id
           cross join lateral (
               select count(*) as total,
                      count(*) filter (where j.status in ('completed', 'paid')) as completed,
                      count(*) filter (where j.status = 'cancelled') as cancelled,
                      count(*) filter (where j.status in ('new', 'in_progress')) as active
               from stm.jobs j
               where j.provider_id = p.id
           ) n
           where p.id = $1 and l.user_id = $2"#,
        id.0,
        lsm.0,
    )
    .fetch_optional(pooler)
    .await?;
    Ok(row.map(|row| LsmProviderDetailsView {
        provider: LsmProviderView {
            id,
            business_name: row.business_name,
            user: LsmProviderOwnerView {
                name: row.name,
                email: row.email,
                phone: row.phone,
                joined_at: row.joined_at.into(),
                last_login: row.last_login.map(Timestamp),
            },
            status: row.status,
            rejection_reason: row.rejection_reason,
            ban_requested: row.ban_requested,
            rating: row.rating,
            experience: row.experience_years.unwrap_or(0),
            experience_level: row.experience_level,
            description: row.description,
            location: row.location,
            website_url: row.website_url,
            warnings: row.warnings,
            total_jobs: row.total_jobs,
            earnings: Cents(row.earnings_cents),
            created_at: row.created_at.into(),
            approved_at: row.approved_at.map(Timestamp),
        },
        statistics: LsmProviderStatisticsView {
            total_jobs: row.jobs,
            completed_jobs: row.completed,
            cancelled_jobs: row.cancelled,
            active_jobs: row.active,
            average_rating: row.rating,
            total_reviews: row.reviews,
        },
        documents: row.documents.0,
        service_areas: row.zip_codes,
        services: row.services.0.into_iter().map(Into::into).collect(),
        recent_jobs: row.recent_jobs.0.into_iter().map(Into::into).collect(),
        recent_feedback: row.recent_feedback.0.into_iter().map(Into::into).collect(),
    }))
}

impl From<ServiceRow> for OfferedServiceView {
    fn from(row: ServiceRow) -> Self {
        Self { id: row.id, name: row.name, category: row.category }
    }
}

impl From<RecentJobRow> for LsmRecentJobView {
    fn from(row: RecentJobRow) -> Self {
        Self {
            id: row.id,
            service: row.service,
            customer: row.customer,
            status: row.status,
            price: Cents(row.price_cents),
            completed_at: row.completed_at.map(Timestamp),
        }
    }
}

impl From<RecentFeedbackRow> for LsmRecentFeedbackView {
    fn from(row: RecentFeedbackRow) -> Self {
        Self {
            id: row.id,
            rating: row.rating,
            customer: row.customer,
            feedback: row.feedback,
            created_at: row.created_at.into(),
        }
    }
}
