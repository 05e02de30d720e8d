//! SQL of the list of services.

use super::http::AdminServiceView;
use crate::types::ServiceId;
use doors::Pooler;

/// A selection of the services.
#[derive(Debug)]
pub(super) struct ServiceFilter {
    /// A part of the name.
    pub search: Option<String>,
    pub category: Option<String>,
    pub limit: i64,
    pub offset: i64,
}

/// Services that are not deleted, by category and name.
pub(super) async fn list(pooler: &Pooler, filter: &ServiceFilter) -> sqlx::Result<Vec<AdminServiceView>> {
    sqlx::query_as!(
        AdminServiceView,
        r#"select s.id as "id: ServiceId", s.name, s.category, s.description, s.questions_json as questions, s.is_popular,
                  s.status, (select count(*) from stm.provider_services o where o.service_id = s.id) as "provider_count!",
                  s.created_at, s.updated_at
           from (select x.id, x.name, x.category, x.description, x.questions_json, x.is_popular, x.status, x.created_at,
                        x.updated_at
                 from stm.services x
                 where x.status <> 'deleted'
                   and ($1::text is null or position(lower($1) in lower(x.name)) > 0)
                   and ($2::text is null or lower(x.category) = lower($2))
                 order by x.category, x.name, x.id
                 limit $3 offset $4) s
           order by s.category, s.name, s.id"#,
        filter.search,
        filter.category,
        filter.limit,
        filter.offset,
    )
    .fetch_all(pooler)
    .await
}
