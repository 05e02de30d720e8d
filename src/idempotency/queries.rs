//! Rows of keys.

use axum::http::StatusCode;
use chrono::{DateTime, Duration, Utc};

use crate::types::UserId;
use doors::{Pooler, Tx};

/// How long an answer is stored.
const KEPT: Duration = Duration::hours(24);

/// The most keys that are deleted by one statement.
const MAX_DELETED: i64 = 10_000;

/// Claims a key for this transaction; waits for another transaction that has claimed it. `false`: it was used in the last
/// 24 hours.
///
/// # Errors
/// Those of the database.
pub async fn claim(tx: &mut Tx<Pooler>, user: UserId, key: &str, digest: &[u8]) -> sqlx::Result<bool> {
    let claimed = sqlx::query!(
        "insert into stm.idempotency_keys as k (user_id, key, request_digest) values ($1, $2, $3)
         on conflict (user_id, key) do update
         set request_digest = excluded.request_digest, status = null, response = null, created_at = excluded.created_at
         where k.created_at <= excluded.created_at - interval '24 hours'",
        user.0,
        key,
        digest,
    )
    .execute(tx)
    .await?;
    Ok(claimed.rows_affected() == 1)
}

/// A key that was used.
#[derive(Debug)]
pub struct UsedRow {
    /// SHA-256 of the request.
    pub request_digest: Vec<u8>,
    /// The answer's status.
    pub status: Option<i16>,
    /// The answer's body.
    pub response: Option<String>,
}

/// Finds a key that was used.
///
/// # Errors
/// Those of the database.
pub async fn find(tx: &mut Tx<Pooler>, user: UserId, key: &str) -> sqlx::Result<Option<UsedRow>> {
    sqlx::query_as!(
        UsedRow,
        "select request_digest, status, response from stm.idempotency_keys where user_id = $1 and key = $2",
        user.0,
        key,
    )
    .fetch_optional(tx)
    .await
}

/// Stores the answer to a request.
///
/// # Errors
/// Those of the database.
pub async fn set_answer(
    tx: &mut Tx<Pooler>,
    user: UserId,
    key: &str,
    status: StatusCode,
    body: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.idempotency_keys set status = $3, response = $4 where user_id = $1 and key = $2",
        user.0,
        key,
        i16::try_from(status.as_u16()).unwrap_or(i16::MAX),
        body,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Deletes keys that are older than 24 hours, some thousands at a time. Returns how many.
///
/// # Errors
/// Those of the database.
pub async fn delete_expired(pooler: &Pooler, now: DateTime<Utc>) -> sqlx::Result<u64> {
    let mut tx = pooler.write().await?;
    let deleted = sqlx::query!(
        "delete from stm.idempotency_keys
         where (user_id, key) in (
             select user_id, key from stm.idempotency_keys where created_at < $1 limit $2 for update skip locked)",
        now - KEPT,
        MAX_DELETED,
    )
    .execute(&mut tx)
    .await?;
    tx.commit().await?;
    Ok(deleted.rows_affected())
}
