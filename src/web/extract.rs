//! Bodies, paths and queries, with errors that name the field and the rule in a user's words.

use std::fmt::Display;

use axum::body::{Bytes, HttpBody as _};
use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, header, request::Parts};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::reading;
use crate::error::{Error, invalid};

/// What most responses fit into, so that they are written without growing: axum's own begin with 128 bytes.
const USUAL_RESPONSE_BYTES: usize = 2048;

/// A JSON body, read with the forgiveness of [`reading`]. The error of a field names it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        check_media(request.headers()).map_err(Error::into_response)?;
        let body = Bytes::from_request(request, state).await.map_err(|rejection| rejection.status().into_response())?;
        parse(&body).and_then(|body| read_object("the body", body)).map(Self).map_err(Error::into_response)
    }
}

/// A JSON body that may be missing.
impl<S: Send + Sync, T: DeserializeOwned> OptionalFromRequest<S> for Json<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Response> {
        if request.body().is_end_stream() {
            return Ok(None);
        }
        <Self as FromRequest<S>>::from_request(request, state).await.map(Some)
    }
}

/// Reads the fields of an object: of a body, or of a socket's event.
///
/// # Errors
/// 400 with the field named.
pub(crate) fn read_object<T: DeserializeOwned>(what: &str, value: Value) -> Result<T, Error> {
    let Value::Object(object) = value else {
        return Err(Error::Malformed(format!("{what} must be a JSON object")));
    };
    reading::from_object(object).map_err(|(field, rule)| match field {
        Some(field) => invalid(field, &rule),
        None => Error::Malformed(format!("{what} {rule}")),
    })
}

/// Parses a body.
///
/// # Errors
/// 400 with what is wrong, in words where people cause it.
fn parse(body: &[u8]) -> Result<Value, Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let place = reading::place_of(error.path());
        let why = error.into_inner();
        match place {
            Some(field) if why.to_string().contains("hex escape") => {
                invalid(field, "must not contain half a character: an emoji was cut in two")
            }
            _ => Error::Malformed(format!("the body is not JSON: {why}")),
        }
    })?;
    deserializer.end().map_err(|why| Error::Malformed(format!("the body is not JSON: {why}")))?;
    Ok(value)
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let mut body = Vec::with_capacity(USUAL_RESPONSE_BYTES);
        match serde_json::to_writer(&mut body, &self.0) {
            Ok(()) => ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response(),
            Err(error) => Error::Internal(error.into()).into_response(),
        }
    }
}

/// Checks that a body is JSON as it stands.
///
/// # Errors
/// 415 with what to send instead.
fn check_media(headers: &HeaderMap) -> Result<(), Error> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let encoding = text(header::CONTENT_ENCODING);
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
        return Err(Error::UnsupportedMedia("the body must not be compressed: send it without content-encoding"));
    }
    let essence = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    let rule = "the body must be JSON, sent as content-type: application/json";
    if is_json { Ok(()) } else { Err(Error::UnsupportedMedia(rule)) }
}

/// A path parameter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => {
                Err(malformed("path", &explain_path(error.kind())))
            }
            Err(rejection) => Err(malformed("path", &rejection.body_text())),
        }
    }
}

fn explain_path(kind: &ErrorKind) -> String {
    match kind {
        ErrorKind::ParseError { value, .. }
        | ErrorKind::ParseErrorAtKey { value, .. }
        | ErrorKind::ParseErrorAtIndex { value, .. }
        | ErrorKind::DeserializeError { value, .. } => format!("`{value}` is not a valid id"),
        other => other.to_string(),
    }
}

/// A query string, read with the forgiveness of [`reading`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Error> {
        let query = parts.uri.query().unwrap_or_default();
        let mut members = Map::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = Value::from(value);
            if members.get(&*name).is_some_and(|other| *other != value) {
                return Err(invalid(name.into_owned(), "must not be given twice"));
            }
            members.insert(name.into_owned(), value);
        }
        let read = reading::from_object(members);
        read.map(Self).map_err(|(field, rule)| invalid(field.unwrap_or_else(|| "the query".into()), &rule))
    }
}

fn malformed(part: &str, why: &dyn Display) -> Error {
    Error::Malformed(format!("the {part} cannot be read: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_emoji_is_named_by_its_field() {
        for (body, message) in [
            (
                &br#"{"a": {"notes": "\ud83d"}}"#[..],
                "a.notes must not contain half a character: an emoji was cut in two",
            ),
            (br#"{"list": ["\ud83d!"]}"#, "list[0] must not contain half a character: an emoji was cut in two"),
            (br#"{"list": ["\udca9"]}"#, "list[0] must not contain half a character: an emoji was cut in two"),
        ] {
            assert_eq!(parse(body).unwrap_err().code_and_message().1, message);
        }
        assert!(parse(br#"{"notes": "\ud83d\udca9"}"#).is_ok());
        for bad in [&b"{"[..], b"{} {}", b"", b"{\"a\": \"\xff\"}"] {
            assert!(parse(bad).unwrap_err().code_and_message().1.starts_with("the body is not JSON"));
        }
    }
}
