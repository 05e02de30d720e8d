//! Requests that may be sent again without being carried out again: `Idempotency-Key`
//! (<https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/>).
//!
//! Invariants: a key belongs to one user; it and the answer are written in the transaction of the effect, so that neither
//! exists without the other. For 24 hours the same request with the same key gets the first answer again, to the letter;
//! another request with it gets 422. Of two at the same time the second waits for the first. Refusals are not stored: the
//! key can be used again once their cause is mended.

mod queries;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, OriginalUri, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::types::UserId;
use crate::web::extract::Json;
use doors::{Pooler, Tx};

pub use queries::delete_expired;

/// A JSON body, and the key that came with it.
#[derive(Debug)]
pub struct Keyed<T> {
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
pub struct StoredAnswer {
    status: StatusCode,
    body: String,
}

impl IntoResponse for StoredAnswer {
    fn into_response(self) -> Response {
        (self.status, [(header::CONTENT_TYPE, "application/json")], self.body).into_response()
    }
}

/// Carries a request out once: claims its key, if it has one, checks its fields, has its effect, stores the answer, and
/// commits. Returns the answer, and what the effect has to publish: nothing if the request was carried out before.
///
/// The key comes before the fields: what was right when it was first sent is answered again, also when its date has
/// passed since.
///
/// # Errors
/// Those of `check` and `effect`; nothing is stored then. 422 the key was used for another request.
pub async fn once<T, C, V: Serialize, N: Default>(
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
        queries::set_answer(&mut tx, user, key, status, &answer.body).await?;
    }
    tx.commit().await?;
    Ok((answer, outbox))
}

/// Claims a key for this transaction. Returns the first answer if the request was carried out before.
async fn claim(tx: &mut Tx<Pooler>, user: UserId, key: &Key) -> Result<Option<StoredAnswer>> {
    if queries::claim(tx, user, &key.key, &key.digest).await? {
        return Ok(None);
    }
    // A separate statement: it sees what the claim has waited for.
    match queries::find(tx, user, &key.key).await? {
        Some(used) if used.request_digest != key.digest => Err(Error::Unprocessable(
            "idempotency_key_reused",
            "this Idempotency-Key was used for another request: use a new one".into(),
        )),
        Some(queries::UsedRow { status: Some(status), response: Some(body), .. }) => {
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

/// A digest that is the same for every way to write the same JSON: spaces and the order of members do not count.
fn digest(path: &str, body: &[u8]) -> [u8; 32] {
    let canonical = serde_json::from_slice::<serde_json::Value>(body).map(|value| value.to_string().into_bytes());
    let mut digest = Sha256::new();
    digest.update(path);
    digest.update(b"\n");
    digest.update(canonical.as_deref().unwrap_or(body));
    digest.finalize().into()
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
    fn spaces_and_the_order_of_members_do_not_count() {
        let first = digest("/jobs/create", br#"{"a":1,"b":[1,2]}"#);
        assert_eq!(first, digest("/jobs/create", br#"{ "b": [1, 2], "a": 1 }"#));
        assert_ne!(first, digest("/jobs/create", br#"{"a":1,"b":[2,1]}"#));
        assert_ne!(first, digest("/customers/disputes", br#"{"a":1,"b":[1,2]}"#));
    }
}
