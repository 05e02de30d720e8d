//! SQL of new accounts.

use chrono::{DateTime, Utc};

use super::types::{NewCustomer, NewProvider, NewUser};
use crate::types::UserId;
use doors::{Pooler, Tx};

/// A local service manager who can take on a provider.
#[derive(Debug)]
pub(super) struct Lsm {
    /// `stm.local_service_managers.id`.
    pub id: i64,
    /// The LSM's user.
    pub user_id: UserId,
}

/// Inserts a user. A taken e-mail address violates `users_email_key`.
pub(crate) async fn insert_user(tx: &mut Tx<Pooler>, user: &NewUser) -> sqlx::Result<UserId> {
    sqlx::query_scalar!(
        r#"insert into stm.users (email, phone_number, password_hash, first_name, last_name, role)
           values ($1, $2, $3, $4, $5, $6)
           returning id as "id: UserId""#,
        user.email,
        user.phone_number,
        user.password_hash,
        user.first_name,
        user.last_name,
        user.role.as_str(),
    )
    .fetch_one(tx)
    .await
}

/// Inserts a customer's row.
pub(super) async fn insert_customer(tx: &mut Tx<Pooler>, user_id: UserId, customer: &NewCustomer) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into stm.customers (user_id, address, region, zipcode, city, state) values ($1, $2, $3, $4, $5, $6)",
        user_id.0,
        customer.address,
        customer.region,
        customer.zipcode,
        customer.city,
        customer.state,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Finds the oldest active LSM of a region, by the state's letters or name, and of an area in it where both sides name
/// one, and locks it, against its replacement, until the transaction ends. Returns `None` also if the one that was waited
/// for is replaced: a second call sees who took over.
pub(super) async fn lock_lsm(tx: &mut Tx<Pooler>, region: &str, area: Option<&str>) -> sqlx::Result<Option<Lsm>> {
    sqlx::query_as!(
        Lsm,
        r#"select id, user_id as "user_id: UserId"
           from stm.local_service_managers
           where status = 'active'
             and stm.region_key(region) = stm.region_key($1)
             and (area is null or $2::text is null or lower(area) = lower($2))
           order by coalesce(lower(area) = lower($2), false) desc, created_at, id
           limit 1
           for share"#,
        region,
        area,
    )
    .fetch_optional(tx)
    .await
}

/// Inserts a pending provider and its ZIP codes.
pub(super) async fn insert_provider(
    tx: &mut Tx<Pooler>,
    user_id: UserId,
    lsm_id: i64,
    provider: &NewProvider,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "with provider as (
             insert into stm.providers (
                 user_id, lsm_id, business_name, service_type, experience_years, experience_level, description,
                 location, website_url, region, area, min_price_cents, max_price_cents, terms_accepted_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
             returning id)
         insert into stm.provider_zip_codes (provider_id, zip_code, position)
         select provider.id, zip.code, zip.position
         from provider, unnest($15::text[]) with ordinality as zip (code, position)",
        user_id.0,
        lsm_id,
        provider.business_name,
        provider.service_type,
        provider.experience_years,
        provider.experience_level,
        provider.description,
        provider.location,
        provider.website_url,
        provider.region,
        provider.area,
        provider.min_price_cents,
        provider.max_price_cents,
        now,
        &provider.zip_codes,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Offers the catalogue's service of this name in the new provider's name. Returns `false` if there is none.
pub(super) async fn insert_offer(tx: &mut Tx<Pooler>, user_id: UserId, service: &str) -> sqlx::Result<bool> {
    let inserted = sqlx::query!(
        "insert into stm.provider_services (provider_id, service_id)
         select p.id, s.id
         from stm.providers p, stm.services s
         where p.user_id = $1 and s.status = 'approved' and lower(s.name) = lower($2)",
        user_id.0,
        service,
    )
    .execute(tx)
    .await?;
    Ok(inserted.rows_affected() > 0)
}
