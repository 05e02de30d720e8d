//! Requests that may be sent again without being carried out again: `Idempotency-Key`
//! (<https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/>).
//!
//! Invariants: a key belongs to one user. The key and the answer are written in the transaction of the effect: neither
//! exists without the other. For 24 hours the same request with the same key receives the first answer, byte for byte;
//! another request with it is refused with 422. Of two concurrent ones the second waits for the first. Refusals are not
//! stored: the key can be used again once their cause is gone.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, OriginalUri, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Duration, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::types::UserId;
use crate::web::extract::Json;
use crate::web::reading::whole;
use doors::{Pooler, Tx};

/// How long an answer is stored.
const KEPT: Duration = Duration::hours(24);

/// The most keys that are deleted by one statement.
const MAX_DELETED: i64 = 10_000;

/// A JSON body, and the key that came with it.
#[derive(Debug)]
pub(crate) struct Keyed<T> {
    /// The body.
    pub body: T,
    key: Option<Key>,
}

/// A key, and what it was sent with.
#[derive(Debug)]
struct Key {
    key: String,
    /// SHA-256 of the path and the body.
    digest: [u8; 32],
}

/// An answer, as it is sent and stored.
#[derive(Debug)]
pub(crate) struct StoredAnswer {
    status: StatusCode,
    body: String,
}

impl IntoResponse for StoredAnswer {
    fn into_response(self) -> Response {
        (self.status, [(header::CONTENT_TYPE, "application/json")], self.body).into_response()
    }
}

/// Carries a request out once: claims its key, if it has one, checks its fields, runs the effect, stores the answer and
/// commits. Returns the answer, and what to publish: nothing if the request was carried out before.
///
/// The key is claimed before the fields are checked: a repetition receives its answer even if its date has passed since.
///
/// # Errors
/// Those of `check` and `effect`; nothing is stored then. 422 the key was used for another request.
pub(crate) async fn once<T, C, V: Serialize, N: Default>(
    pooler: &Pooler,
    user: UserId,
    request: Keyed<T>,
    check: impl FnOnce(T) -> Result<C>,
    effect: impl AsyncFnOnce(&mut Tx<Pooler>, C) -> Result<(StatusCode, V, N)>,
) -> Result<(StoredAnswer, N)> {
    let Keyed { body, key } = request;
    let mut tx = pooler.write().await?;
    if let Some(key) = &key
        && let Some(answer) = claim(&mut tx, user, key).await?
    {
        return Ok((answer, N::default()));
    }
    let checked = check(body)?;
    let (status, view, outbox) = effect(&mut tx, checked).await?;
    let answer = StoredAnswer { status, body: serde_json::to_string(&view).map_err(anyhow::Error::from)? };
    if let Some(Key { key, .. }) = &key {
        set_answer(&mut tx, user, key, status, &answer.body).await?;
    }
    tx.commit().await?;
    Ok((answer, outbox))
}

/// Claims a key for this transaction. Returns the first answer if the request was carried out before.
async fn claim(tx: &mut Tx<Pooler>, user: UserId, key: &Key) -> Result<Option<StoredAnswer>> {
    if insert_key(tx, user, &key.key, &key.digest).await? {
        return Ok(None);
    }
    // A separate statement: under READ COMMITTED it sees what the insert has waited for.
    match find_key(tx, user, &key.key).await? {
        Some(used) if used.request_digest != key.digest => Err(Error::Unprocessable(
            "idempotency_key_reused",
            "this Idempotency-Key was used for another request: use a new one".into(),
        )),
        Some(UsedKey { status: Some(status), response: Some(body), .. }) => {
            let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
            Ok(Some(StoredAnswer { status: status.unwrap_or(StatusCode::OK), body }))
        }
        Some(_) | None => Err(Error::Conflict(
            "request_in_progress",
            "the first request with this Idempotency-Key has not ended".into(),
        )),
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Keyed<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let key = read_key(request.headers()).map_err(Error::into_response)?;
        let Some(key) = key else {
            return Json::from_request(request, state).await.map(|Json(body)| Self { body, key: None });
        };
        let path =
            request.extensions().get::<OriginalUri>().map_or_else(|| request.uri(), |uri| &uri.0).path().to_owned();
        let (parts, body) = request.into_parts();
        let bytes = Bytes::from_request(Request::from_parts(parts.clone(), body), state)
            .await
            .map_err(|rejection| rejection.status().into_response())?;
        let digest = digest(&path, &bytes);
        let Json(body) = Json::from_request(Request::from_parts(parts, Body::from(bytes)), state).await?;
        Ok(Self { body, key: Some(Key { key, digest }) })
    }
}

/// A digest of the path and the JSON, regardless of spaces, the order of members, and how numbers are written.
fn digest(path: &str, body: &[u8]) -> [u8; 32] {
    let canonical = serde_json::from_slice(body).map(|value| canonical(value).to_string().into_bytes());
    let mut digest = Sha256::new();
    digest.update(path);
    digest.update(b"\n");
    digest.update(canonical.as_deref().unwrap_or(body));
    digest.finalize().into()
}

/// The value with `50` for `50.00`.
fn canonical(value: Value) -> Value {
    match value {
        Value::Number(number) => whole(&number).map_or(Value::Number(number), Value::from),
        Value::Array(list) => list.into_iter().map(canonical).collect(),
        Value::Object(map) => map.into_iter().map(|(name, value)| (name, canonical(value))).collect(),
        other => other,
    }
}

/// The key as a structured header's string (RFC 8941), or bare, as many clients send it.
fn read_key(headers: &HeaderMap) -> Result<Option<String>> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let key = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let is_key =
        (1..=255).contains(&key.len()) && key.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'"');
    if values.next().is_some() || !is_key {
        return Err(Error::Malformed("Idempotency-Key must be one word of 1 to 255 visible ASCII characters".into()));
    }
    Ok(Some(key.to_owned()))
}

/// Inserts a key, or replaces one that has expired. Waits for a transaction that has inserted it. Returns `false` if it was
/// used in the last 24 hours.
async fn insert_key(tx: &mut Tx<Pooler>, user: UserId, key: &str, digest: &[u8]) -> sqlx::Result<bool> {
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
struct UsedKey {
    /// SHA-256 of the request.
    request_digest: Vec<u8>,
    /// The answer's status.
    status: Option<i16>,
    /// The answer's body.
    response: Option<String>,
}

/// Finds a key that was used.
async fn find_key(tx: &mut Tx<Pooler>, user: UserId, key: &str) -> sqlx::Result<Option<UsedKey>> {
    sqlx::query_as!(
        UsedKey,
        "select request_digest, status, response from stm.idempotency_keys where user_id = $1 and key = $2",
        user.0,
        key,
    )
    .fetch_optional(tx)
    .await
}

/// Stores the answer to a request.
async fn set_answer(tx: &mut Tx<Pooler>, user: UserId, key: &str, status: StatusCode, body: &str) -> sqlx::Result<()> {
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
pub(crate) async fn delete_expired(pooler: &Pooler, now: DateTime<Utc>) -> sqlx::Result<u64> {
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

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_key_is_one_word_bare_or_quoted() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("idempotency-key", HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            read_key(&headers).map_err(|error| error.to_string())
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["8e03978e-40d5"]), Ok(Some("8e03978e-40d5".into())));
        assert_eq!(read(&["\"8e03978e-40d5\""]), Ok(Some("8e03978e-40d5".into())));
        for bad in [&[""][..], &["\"\""], &["a b"], &["a\"b"], &["a", "b"], &["\u{e4}"]] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn notation_does_not_count() {
        let first = digest("/jobs/create", br#"{"a":1,"b":[1,2]}"#);
        assert_eq!(first, digest("/jobs/create", br#"{ "b": [1, 2], "a": 1 }"#));
        assert_eq!(first, digest("/jobs/create", br#"{"a": 1.00, "b": [1e0, 20e-1]}"#));
        assert_ne!(first, digest("/jobs/create", br#"{"a":1.01,"b":[1,2]}"#));
        assert_ne!(first, digest("/jobs/create", br#"{"a":"1","b":[1,2]}"#));
        assert_ne!(first, digest("/jobs/create", br#"{"a":1,"b":[2,1]}"#));
        assert_ne!(first, digest("/customers/disputes", br#"{"a":1,"b":[1,2]}"#));
    }
}
