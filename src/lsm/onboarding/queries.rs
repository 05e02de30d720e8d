//! SQL of providers who wait for their LSM.

use sqlx::types::Json;

use super::http::{PendingProviderView, PendingUserView};
use crate::providers::{DocumentView, DocumentsView};
use crate::types::{ProviderId, UserId};
use doors::Pooler;

/// The most providers in one answer.
const MAX_PENDING: i64 = 100;

/// The pending providers of an active LSM, the oldest first, at most [`MAX_PENDING`].
pub(super) async fn list(pooler: &Pooler, lsm: UserId) -> sqlx::Result<Vec<PendingProviderView>> {
    let rows = sqlx::query!(
        r#"select p.id as "id: ProviderId", p.business_name, u.first_name || ' ' || u.last_name as "name!", u.email,
                  coalesce(u.phone_number, '') as "phone!", stm.documents_of(p.id) as "documents!: Json<Vec<DocumentView>>",
                  array(select z.zip_code from stm.provider_zip_codes z where z.provider_id = p.id
                        order by z.position limit 200) as "zip_codes!",
                  array(select s.name from stm.provider_services o join stm.services s on s.id = o.service_id
                        where o.provider_id = p.id and s.status = 'approved'
                        union
                        select r.service_name from stm.service_requests r
                        where r.requested_by = u.id and r.status in ('pending', 'lsm_approved')
                        order by 1 limit 200) as "services!",
                  p.experience_years, p.experience_level, p.description, p.location, p.website_url, p.created_at,
                  settings.require_documents
           from stm.settings, stm.providers p
           join stm.local_service_managers l on l.id = p.lsm_id and l.status = 'active'
           join stm.users u on u.id = p.user_id
           where l.user_id = $1 and p.status = 'pending' and u.closed_at is null
           order by p.id
           limit $2"#,
        lsm.0,
        MAX_PENDING,
    )
    .fetch_all(pooler)
    .await?;
    let providers = rows.into_iter().map(|row| PendingProviderView {
        id: row.id,
        business_name: row.business_name,
        user: PendingUserView { name: row.name, email: row.email, phone: row.phone },
        ready_for_activation: !row.require_documents || DocumentView::are_verified(&row.documents.0),
        documents: DocumentsView::new(row.documents.0),
        service_areas: row.zip_codes,
        requested_services: row.services,
        experience: row.experience_years.unwrap_or(0),
        experience_level: row.experience_level,
        description: row.description,
        location: row.location,
        website_url: row.website_url,
        created_at: row.created_at.into(),
    });
    Ok(providers.collect())
}
