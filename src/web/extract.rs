//! Bodies, paths and queries, with errors that name the field and the rule in a user's words.

use std::fmt::Display;

use axum::body::Bytes;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, invalid};

/// A JSON body. Unknown fields are ignored. The error of a field of the wrong type names the field.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        if !is_json(request.headers().get(header::CONTENT_TYPE)) {
            return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response());
        }
        let body = Bytes::from_request(request, state).await.map_err(|rejection| rejection.status().into_response())?;
        // serde would also accept a list for an object, by position.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(Error::Malformed("the body must be a JSON object".into()).into_response());
        }
        let mut deserializer = serde_json::Deserializer::from_slice(&body);
        let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let path = error.path().to_string();
            let why = error.into_inner();
            if why.is_data() && path != "." {
                invalid(path, &explain(&why))
            } else {
                Error::Malformed(format!("the body is not the expected JSON: {why}"))
            }
            .into_response()
        })?;
        deserializer.end().map_err(|why| Error::Malformed(format!("the body is not JSON: {why}")).into_response())?;
        Ok(Self(value))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

fn is_json(content_type: Option<&header::HeaderValue>) -> bool {
    let essence = content_type
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The rule that a field breaks: serde's "invalid type: string "x", expected u32 at line 1 column 9" without position
/// and Rust types.
pub(crate) fn explain(why: &dyn Display) -> String {
    let text = why.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    if text.starts_with("UUID parsing failed") {
        return "must be a UUID".into();
    }
    match text.rsplit_once("expected ").map(|(_, expected)| expected) {
        Some("i16" | "i32" | "i64") if text.starts_with("invalid value") => "is out of range".into(),
        Some("i16" | "i32" | "i64") => "must be a whole number".into(),
        Some("f64") => "must be a number".into(),
        Some("a sequence") => "must be a list".into(),
        Some(expected) if expected == "a map" || expected.starts_with("struct ") => "must be an object".into(),
        Some(expected) => format!("must be {expected}"),
        None => format!("is not valid: {text}"),
    }
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

/// A query string.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Error> {
        match axum::extract::Query::<T>::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let text = rejection.body_text();
                Err(malformed("query", &text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text)))
            }
        }
    }
}

fn malformed(part: &str, why: &dyn Display) -> Error {
    Error::Malformed(format!("the {part} cannot be read: {why}"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::types::{ChatId, JobId};

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only its errors are read")]
    struct Body {
        id: Option<JobId>,
        chat: Option<ChatId>,
        years: Option<i32>,
        rating: Option<f64>,
        images: Option<Vec<String>>,
        name: Option<String>,
        inner: Option<Box<Self>>,
    }

    #[test]
    fn rules_have_no_rust_types() {
        for (body, rule) in [
            (r#"{"id": "7"}"#, "must be a whole number"),
            (r#"{"years": 1.5}"#, "must be a whole number"),
            (r#"{"years": 3000000000}"#, "is out of range"),
            (r#"{"rating": "5"}"#, "must be a number"),
            (r#"{"chat": "7"}"#, "must be a UUID"),
            (r#"{"images": "a"}"#, "must be a list"),
            (r#"{"name": 7}"#, "must be a string"),
            (r#"{"inner": 7}"#, "must be an object"),
        ] {
            assert_eq!(explain(&serde_json::from_str::<Body>(body).unwrap_err()), rule, "{body}");
        }
    }
}
