//! SQL of users, the rows of their roles, and refresh tokens.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::http::UserView;
use crate::types::{Role, UserId};
use doors::{Pooler, Tx};

/// A user who tries to log in.
#[derive(Debug)]
pub(super) struct Login {
    pub user: UserView,
    /// PHC string; `None` if only Supabase Auth knows the user.
    pub password_hash: Option<String>,
    pub is_banned: bool,
}

/// A user to insert.
#[derive(Debug)]
pub(super) struct NewUser {
    pub email: String,
    /// E.164.
    pub phone_number: String,
    /// PHC string.
    pub password_hash: String,
    pub first_name: String,
    pub last_name: String,
    pub role: Role,
}

/// A customer to insert.
#[derive(Debug)]
pub(super) struct NewCustomer {
    pub address: String,
    /// LSMs are assigned by region.
    pub region: String,
    /// Five digits.
    pub zipcode: Option<String>,
    pub city: Option<String>,
    pub state: Option<String>,
}

/// A provider to insert.
#[derive(Debug)]
pub(super) struct NewProvider {
    pub business_name: String,
    /// Trade, in the provider's words.
    pub service_type: Option<String>,
    pub experience_years: Option<i32>,
    /// Level of experience, in the provider's words.
    pub experience_level: Option<String>,
    pub description: Option<String>,
    pub location: Option<String>,
    pub website_url: Option<String>,
    /// ZIP codes served; the first is the primary one.
    pub zip_codes: Vec<String>,
    pub min_price_cents: Option<i64>,
    pub max_price_cents: Option<i64>,
    /// Decides the LSM.
    pub region: String,
    /// Area within the region.
    pub area: Option<String>,
}

/// A local service manager who can take on a provider.
#[derive(Debug)]
pub(super) struct Lsm {
    /// `stm.local_service_managers.id`.
    pub id: i64,
    /// The LSM's user.
    pub user_id: UserId,
}

/// Inserts a user. A taken e-mail address violates `users_email_key`.
pub(super) async fn insert_user(tx: &mut Tx<Pooler>, user: &NewUser) -> sqlx::Result<UserId> {
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

/// The oldest active LSM of a region, and of an area in it where both sides name one.
pub(super) async fn find_lsm(tx: &mut Tx<Pooler>, region: &str, area: Option<&str>) -> sqlx::Result<Option<Lsm>> {
    sqlx::query_as!(
        Lsm,
        r#"select id, user_id as "user_id: UserId"
           from stm.local_service_managers
           where status = 'active'
             and lower(region) = lower($1)
             and (area is null or $2::text is null or lower(area) = lower($2))
           order by coalesce(lower(area) = lower($2), false) desc, created_at, id
           limit 1"#,
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

/// The user with this lower-case e-mail address.
pub(super) async fn find_login(pooler: &Pooler, email: &str) -> sqlx::Result<Option<Login>> {
    let row = sqlx::query!(
        r#"select id as "id: UserId", email, first_name, last_name, role as "role: Role", password_hash,
                  banned_at is not null as "is_banned!"
           from stm.users
           where email = $1"#,
        email,
    )
    .fetch_optional(pooler)
    .await?;
    Ok(row.map(|row| Login {
        user: UserView {
            id: row.id,
            email: row.email,
            first_name: row.first_name,
            last_name: row.last_name,
            role: row.role,
        },
        password_hash: row.password_hash,
        is_banned: row.is_banned,
    }))
}

/// Replaces a user's password hash, unless it has changed in between.
pub(super) async fn set_rehashed(tx: &mut Tx<Pooler>, id: UserId, old: &str, new: &str) -> sqlx::Result<()> {
    sqlx::query!("update stm.users set password_hash = $3 where id = $1 and password_hash = $2", id.0, old, new)
        .execute(tx)
        .await
        .map(drop)
}

/// A user who is not banned.
pub(super) async fn find_user(pooler: &Pooler, id: UserId) -> sqlx::Result<Option<UserView>> {
    sqlx::query_as!(
        UserView,
        r#"select id as "id: UserId", email, first_name, last_name, role as "role: Role"
           from stm.users
           where id = $1 and banned_at is null"#,
        id.0,
    )
    .fetch_optional(pooler)
    .await
}

/// Stores a refresh token's digest. `parent` is the one that was exchanged for it.
pub(super) async fn insert_refresh_token(
    tx: &mut Tx<Pooler>,
    digest: &[u8; 32],
    family_id: Uuid,
    user_id: UserId,
    expires_at: DateTime<Utc>,
    parent: Option<&[u8; 32]>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into stm.refresh_tokens (token_digest, family_id, user_id, expires_at, parent_digest)
         values ($1, $2, $3, $4, $5)",
        &digest[..],
        family_id,
        user_id.0,
        expires_at,
        parent.map(|parent| &parent[..]),
    )
    .execute(tx)
    .await
    .map(drop)
}

/// A stored refresh token.
#[derive(Debug)]
pub(super) struct RefreshTokenRow {
    /// The login it belongs to.
    pub family_id: Uuid,
    pub expires_at: DateTime<Utc>,
    /// When it was first exchanged.
    pub replaced_at: Option<DateTime<Utc>>,
    /// Whether any token of its family is revoked: a revocation may miss a token inserted at the same time.
    pub is_revoked: bool,
    pub user: UserView,
    pub is_banned: bool,
}

/// Locks a refresh token until the transaction ends.
pub(super) async fn lock_refresh_token(
    tx: &mut Tx<Pooler>,
    digest: &[u8; 32],
) -> sqlx::Result<Option<RefreshTokenRow>> {
    let row = sqlx::query!(
        r#"select t.family_id, t.expires_at, t.replaced_at,
                  exists (select from stm.refresh_tokens f where f.family_id = t.family_id and f.revoked_at is not null)
                      as "is_revoked!",
                  u.banned_at is not null as "is_banned!",
                  u.id as "id: UserId", u.email, u.first_name, u.last_name, u.role as "role: Role"
           from stm.refresh_tokens t
           join stm.users u on u.id = t.user_id
           where t.token_digest = $1
           for no key update of t"#,
        &digest[..],
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| RefreshTokenRow {
        family_id: row.family_id,
        expires_at: row.expires_at,
        replaced_at: row.replaced_at,
        is_revoked: row.is_revoked,
        user: UserView {
            id: row.id,
            email: row.email,
            first_name: row.first_name,
            last_name: row.last_name,
            role: row.role,
        },
        is_banned: row.is_banned,
    }))
}

/// Whether the answer to a token's exchange may have been lost: no token that it was exchanged for was used, and none has
/// taken its own place. Otherwise two clients hold the login.
pub(super) async fn is_answer_lost(tx: &mut Tx<Pooler>, digest: &[u8; 32]) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from stm.refresh_tokens child where child.parent_digest = t.token_digest)
                  and not exists (
                      select from stm.refresh_tokens child
                      join stm.refresh_tokens used on used.parent_digest = child.token_digest
                      where child.parent_digest = t.token_digest)
                  and not exists (
                      select from stm.refresh_tokens newer
                      where newer.parent_digest = t.parent_digest and newer.created_at >= t.replaced_at)
                  as "is_lost!"
           from stm.refresh_tokens t
           where t.token_digest = $1"#,
        &digest[..],
    )
    .fetch_one(tx)
    .await
}

/// Marks the tokens that were exchanged for this one as taken, so that only the next one may be used.
pub(super) async fn set_children_replaced(tx: &mut Tx<Pooler>, digest: &[u8; 32]) -> sqlx::Result<()> {
    // The transaction's own time is also when the next one is created, whatever the clock of this process says.
    sqlx::query!(
        "update stm.refresh_tokens set replaced_at = now() where parent_digest = $1 and replaced_at is null",
        &digest[..],
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Marks a refresh token as exchanged, once.
pub(super) async fn set_replaced(tx: &mut Tx<Pooler>, digest: &[u8; 32], now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.refresh_tokens set replaced_at = $2 where token_digest = $1 and replaced_at is null",
        &digest[..],
        now
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Revokes every token of a login.
pub(super) async fn set_family_revoked(tx: &mut Tx<Pooler>, family_id: Uuid, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.refresh_tokens set revoked_at = $2 where family_id = $1 and revoked_at is null",
        family_id,
        now
    )
    .execute(tx)
    .await
    .map(drop)
}
