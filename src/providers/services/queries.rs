//! SQL of the services that a provider offers.

use crate::types::{ServiceId, UserId};
use doors::{Pooler, Tx};

/// A service that a provider wants to offer.
#[derive(Debug)]
pub(crate) struct LinkedRow {
    pub id: ServiceId,
    pub name: String,
    pub category: String,
    /// Whether the provider did not offer it before.
    pub is_new: bool,
}

/// Adds an approved service to those that a provider offers, unless it is among them. Returns `None` if there is no
/// such service, or the user is not a provider, or is banned.
pub(crate) async fn insert(
    tx: &mut Tx<Pooler>,
    user_id: UserId,
    service: ServiceId,
) -> sqlx::Result<Option<LinkedRow>> {
    sqlx::query_as!(
        LinkedRow,
        r#"with offer as (
               select p.id as provider_id, s.id, s.name, s.category
               from stm.providers p, stm.services s
               where p.user_id = $1 and p.status <> 'banned' and s.id = $2 and s.status = 'approved'
           ), linked as (
               insert into stm.provider_services (provider_id, service_id)
               select provider_id, id from offer
               on conflict do nothing
               returning service_id
           )
           select offer.id as "id: ServiceId", offer.name, offer.category, exists (select from linked) as "is_new!"
           from offer"#,
        user_id.0,
        service.0,
    )
    .fetch_optional(tx)
    .await
}
