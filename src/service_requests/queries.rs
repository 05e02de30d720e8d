//! SQL of requests for services.

use chrono::{DateTime, Utc};

use super::http::MyServiceRequestView;
use super::types::{Decider, Decisions, ServiceRequestStatus};
use crate::types::{ServiceRequestId, UserId};
use doors::{Pooler, Tx};

/// The most requests in one answer.
pub(super) const MAX_REQUESTS: i64 = 100;

/// A request that was just made.
#[derive(Debug)]
pub(super) struct RequestedRow {
    pub id: ServiceRequestId,
    /// The name of the business, or first and last name.
    pub name: String,
    /// The LSM who decides on it.
    pub lsm_user_id: Option<UserId>,
    pub created_at: DateTime<Utc>,
}

/// A customer's request for a service that the catalogue lacks.
#[derive(Debug)]
pub(super) struct CustomerRequest {
    /// The service, in the customer's words.
    pub keyword: String,
    pub description: String,
    /// Decides the LSM.
    pub region: String,
    /// Five digits.
    pub zipcode: String,
}

/// Locks the LSM who will decide on a request, of this region or of the provider who asks, against its replacement, until
/// the transaction ends. The next statement sees who took over if this one has waited.
pub(super) async fn lock_lsm(tx: &mut Tx<Pooler>, user_id: UserId, region: Option<&str>) -> sqlx::Result<()> {
    sqlx::query!(
        "select l.id
         from stm.local_service_managers l
         where l.status = 'active'
           and case when $2::text is null then l.id = (select p.lsm_id from stm.providers p where p.user_id = $1)
               else stm.region_key(l.region) = stm.region_key($2) end
         order by l.created_at, l.id
         limit 1
         for share",
        user_id.0,
        region,
    )
    .fetch_optional(tx)
    .await
    .map(drop)
}

/// Inserts a customer's request, for the oldest active LSM of the region if there is one. Returns `None` if this user
/// is not a customer, or banned. Needs [`lock_lsm`].
pub(super) async fn insert_of_customer(
    tx: &mut Tx<Pooler>,
    user_id: UserId,
    request: &CustomerRequest,
) -> sqlx::Result<Option<RequestedRow>> {
    sqlx::query_as!(
        RequestedRow,
        r#"with lsm as (
               select id, user_id
               from stm.local_service_managers
               where status = 'active' and stm.region_key(region) = stm.region_key($4)
               order by created_at, id
               limit 1
           ), person as (
               select u.id, u.first_name || ' ' || u.last_name as name
               from stm.users u
               join stm.customers c on c.user_id = u.id
               where u.id = $1 and u.banned_at is null
           ), request as (
               insert into stm.service_requests (requested_by, kind, lsm_id, service_name, description, region, zipcode)
               select person.id, 'customer', (select id from lsm), $2, $3, $4, $5 from person
               returning id, created_at
           )
           select request.id as "id: ServiceRequestId", person.name as "name!",
                  (select user_id from lsm) as "lsm_user_id: UserId", request.created_at
           from request, person"#,
        user_id.0,
        request.keyword,
        request.description,
        request.region,
        request.zipcode,
    )
    .fetch_optional(tx)
    .await
}

/// A provider's request for a service that the catalogue lacks.
#[derive(Debug)]
pub(super) struct ProviderRequest {
    pub service_name: String,
    pub category: String,
    pub description: String,
    /// What customers should be asked.
    pub questions: Option<serde_json::Value>,
}

/// Inserts a provider's request, for the provider's own LSM and region. Returns `None` if this user is not a provider,
/// or banned. Needs [`lock_lsm`].
pub(super) async fn insert_of_provider(
    tx: &mut Tx<Pooler>,
    user_id: UserId,
    request: &ProviderRequest,
) -> sqlx::Result<Option<RequestedRow>> {
    sqlx::query_as!(
        RequestedRow,
        r#"with provider as (
               select p.user_id, p.business_name, p.region, p.lsm_id
               from stm.providers p
               where p.user_id = $1 and p.status <> 'banned'
           ), request as (
               insert into stm.service_requests (
                   requested_by, kind, lsm_id, service_name, category, description, questions_json, region)
               select provider.user_id, 'service_provider', provider.lsm_id, $2, $3, $4, $5, provider.region from provider
               returning id, created_at
           )
           select request.id as "id: ServiceRequestId", provider.business_name as name, l.user_id as "lsm_user_id: UserId",
                  request.created_at
           from request, provider
           join stm.local_service_managers l on l.id = provider.lsm_id"#,
        user_id.0,
        request.service_name,
        request.category,
        request.description,
        request.questions,
    )
    .fetch_optional(tx)
    .await
}

/// Lists a user's requests, newest first, at most [`MAX_REQUESTS`].
pub(super) async fn list(pooler: &Pooler, user_id: UserId) -> sqlx::Result<Vec<MyServiceRequestView>> {
    let rows = sqlx::query!(
        r#"select id as "id: ServiceRequestId", service_name, coalesce(category, '') as "category!", description, questions_json,
                  status as "status: ServiceRequestStatus", reason, rejected_by as "rejected_by: Decider", created_at
           from stm.service_requests
           where requested_by = $1
           order by id desc
           limit $2"#,
        user_id.0,
        MAX_REQUESTS,
    )
    .fetch_all(pooler)
    .await?;
    let requests = rows.into_iter().map(|row| MyServiceRequestView {
        id: row.id,
        service_name: row.service_name,
        category: row.category,
        description: row.description,
        suggested_questions: row.questions_json,
        status: row.status,
        decisions: Decisions::new(row.status, row.rejected_by, row.reason),
        created_at: row.created_at.into(),
    });
    Ok(requests.collect())
}
