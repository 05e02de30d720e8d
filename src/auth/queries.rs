//! SQL of users who log in, and of refresh tokens.

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
    /// Whether a login was opened there before.
    pub is_known_place: bool,
}

/// The user with this lower-case e-mail address, who logs in from a place.
pub(super) async fn find_login(pooler: &Pooler, email: &str, place: Option<&[u8]>) -> sqlx::Result<Option<Login>> {
    let row = sqlx::query!(
        r#"select id as "id: UserId", email, first_name, last_name, role as "role: Role", password_hash,
                  banned_at is not null as "is_banned!",
                  exists (select from stm.refresh_tokens t where t.user_id = u.id and t.place_digest = $2)
                      as "is_known_place!"
           from stm.users u
           where email = $1"#,
        email,
        place,
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
        is_known_place: row.is_known_place,
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

/// Stores the digest of a login's first refresh token.
pub(super) async fn insert_login(
    tx: &mut Tx<Pooler>,
    digest: &[u8; 32],
    family_id: Uuid,
    user_id: UserId,
    expires_at: DateTime<Utc>,
    place: Option<&[u8]>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into stm.refresh_tokens (token_digest, family_id, user_id, expires_at, place_digest)
         values ($1, $2, $3, $4, $5)",
        &digest[..],
        family_id,
        user_id.0,
        expires_at,
        place,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Stores the digest of the refresh token that another one is exchanged for, in the same login.
pub(super) async fn insert_successor(
    tx: &mut Tx<Pooler>,
    digest: &[u8; 32],
    parent: &[u8; 32],
    expires_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into stm.refresh_tokens (token_digest, family_id, user_id, expires_at, parent_digest)
         select $1, t.family_id, t.user_id, $3, t.token_digest
         from stm.refresh_tokens t
         where t.token_digest = $2",
        &digest[..],
        &parent[..],
        expires_at,
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

/// Bans a user. Returns the e-mail address. The trigger `user_banned` then closes the sockets.
pub(crate) async fn set_banned(tx: &mut Tx<Pooler>, id: UserId, reason: &str, by: UserId) -> sqlx::Result<String> {
    sqlx::query_scalar!(
        "update stm.users set banned_at = now(), ban_reason = $2, banned_by = $3, updated_at = now()
         where id = $1
         returning email",
        id.0,
        reason,
        by.0,
    )
    .fetch_one(tx)
    .await
}

/// Lifts the ban of a user. Returns the e-mail address. An account that was closed stays so.
pub(crate) async fn clear_ban(tx: &mut Tx<Pooler>, id: UserId) -> sqlx::Result<String> {
    sqlx::query_scalar!(
        "update stm.users
         set banned_at = closed_at, ban_reason = null, banned_by = null, updated_at = now()
         where id = $1
         returning email",
        id.0,
    )
    .fetch_one(tx)
    .await
}

/// The admins who can act, at most 100.
pub(crate) async fn list_admins(tx: &mut Tx<Pooler>) -> sqlx::Result<Vec<UserId>> {
    sqlx::query_scalar!(
        r#"select id as "id: UserId" from stm.users where role = 'admin' and banned_at is null order by id limit 100"#
    )
    .fetch_all(tx)
    .await
}

/// Revokes every token of a user: ends all logins, and closes the sockets.
pub(crate) async fn set_all_revoked(tx: &mut Tx<Pooler>, user_id: UserId, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.refresh_tokens set revoked_at = $2 where user_id = $1 and revoked_at is null",
        user_id.0,
        now
    )
    .execute(tx)
    .await
    .map(drop)
}
