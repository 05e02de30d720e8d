//! SQL of one-time codes, and of what they permit.

use chrono::{DateTime, Utc};

use crate::auth::UserView;
use crate::mail::CodePurpose;
use crate::types::{Role, UserId};
use doors::{Pooler, Tx};

/// The most tries, and the most codes, in an hour.
const MAX_TRIES: i32 = 5;

/// Whom a code is for.
#[derive(Debug)]
pub(super) struct Addressee {
    pub id: UserId,
    pub email: String,
}

/// Finds who may have a code: not banned, not closed, and for a verification not verified yet.
pub(super) async fn find_addressee(
    tx: &mut Tx<Pooler>,
    email: &str,
    purpose: CodePurpose,
) -> sqlx::Result<Option<Addressee>> {
    sqlx::query_as!(
        Addressee,
        r#"select id as "id: UserId", email
           from stm.users
           where email = $1 and banned_at is null and ($2 = 'password_reset' or email_verified_at is null)"#,
        email,
        purpose.as_str(),
    )
    .fetch_optional(tx)
    .await
}

/// Replaces the user's live code. The counts run on until an hour after the first code. Returns `false`, and changes
/// nothing, if the hour's codes or tries are used up.
pub(super) async fn replace(
    tx: &mut Tx<Pooler>,
    user: UserId,
    purpose: CodePurpose,
    digest: &[u8],
    expires_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let replaced = sqlx::query!(
        "insert into stm.one_time_codes as c (user_id, purpose, code_digest, expires_at, counted_since)
         values ($1, $2, $3, $4, $5)
         on conflict (user_id, purpose) do update
         set code_digest = excluded.code_digest, expires_at = excluded.expires_at,
             tries = case when c.counted_since < $5 - interval '1 hour' then 0 else c.tries end,
             codes = case when c.counted_since < $5 - interval '1 hour' then 1 else c.codes + 1 end,
             counted_since = case when c.counted_since < $5 - interval '1 hour' then $5 else c.counted_since end
         where c.counted_since < $5 - interval '1 hour' or (c.codes < $6 and c.tries < $6)",
        user.0,
        purpose.as_str(),
        digest,
        expires_at,
        now,
        MAX_TRIES,
    )
    .execute(tx)
    .await?;
    Ok(replaced.rows_affected() == 1)
}

/// A live code.
#[derive(Debug)]
pub(super) struct CodeRow {
    pub digest: Vec<u8>,
    pub user: UserView,
}

/// Locks the live code of a user who may still act; one without tries left is not live. Waits for a try that has begun.
pub(super) async fn lock(
    tx: &mut Tx<Pooler>,
    email: &str,
    purpose: CodePurpose,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<CodeRow>> {
    let row = sqlx::query!(
        r#"select c.code_digest, u.id as "id: UserId", u.email, u.first_name, u.last_name, u.role as "role: Role"
           from stm.one_time_codes c
           join stm.users u on u.id = c.user_id
           where u.email = $1 and u.banned_at is null and c.purpose = $2 and c.expires_at > $3 and c.tries < $4
           for no key update of c"#,
        email,
        purpose.as_str(),
        now,
        MAX_TRIES,
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| CodeRow {
        digest: row.code_digest,
        user: UserView {
            id: row.id,
            email: row.email,
            first_name: row.first_name,
            last_name: row.last_name,
            role: row.role,
        },
    }))
}

/// Counts a wrong try.
pub(super) async fn count_try(tx: &mut Tx<Pooler>, user: UserId, purpose: CodePurpose) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.one_time_codes set tries = tries + 1 where user_id = $1 and purpose = $2",
        user.0,
        purpose.as_str(),
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Deletes a code that was used.
pub(super) async fn delete(tx: &mut Tx<Pooler>, user: UserId, purpose: CodePurpose) -> sqlx::Result<()> {
    sqlx::query!("delete from stm.one_time_codes where user_id = $1 and purpose = $2", user.0, purpose.as_str())
        .execute(tx)
        .await
        .map(drop)
}

/// Sets a password. The e-mail address is verified with it: the code came there. A Supabase user loses the account until both
/// sides have verified the address: the person who made the account may be another than the one who reads its e-mail.
pub(super) async fn set_password(
    tx: &mut Tx<Pooler>,
    user: UserId,
    hash: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.users
         set password_hash = $2, auth_uid = null, email_verified_at = coalesce(email_verified_at, $3), updated_at = $3
         where id = $1",
        user.0,
        hash,
        now,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Marks a user's e-mail address as verified, and keeps the first time.
pub(super) async fn set_verified(tx: &mut Tx<Pooler>, user: UserId, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.users set email_verified_at = coalesce(email_verified_at, $2), updated_at = $2 where id = $1",
        user.0,
        now,
    )
    .execute(tx)
    .await
    .map(drop)
}
