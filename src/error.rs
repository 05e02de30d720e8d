//! The errors of a request, and how clients see them: RFC 9457 problem details, with the extra members that today's
//! clients read.
//!
//! One type for all: every handler returns it with `?`, and one place decides on status, code and what is logged. A variant
//! stands for a status; a status has several where the body or the log differs. Causes from the database or from
//! ourselves go to the log only, under the request's id.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use doors::Meaning;
use serde::Serialize;
use utoipa::ToSchema;

/// The result of a handler.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why a request fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 400: the request cannot be parsed.
    #[error("{0}")]
    Malformed(String),
    /// 400: fields break rules. Names all of them at once.
    #[error("invalid fields")]
    Invalid(Vec<FieldError>),
    /// 400: each field is valid, but the request as a whole is not. A code and a sentence.
    #[error("{1}")]
    Refused(&'static str, String),
    /// 401: the token is missing or invalid.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// 403: the caller is known, but not allowed. A code and a sentence.
    #[error("{1}")]
    Forbidden(&'static str, &'static str),
    /// 404: it does not exist, or belongs to another user: the two look the same, so that ids reveal nothing.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// 409: the current state does not allow it. A code and a sentence.
    #[error("{1}")]
    Conflict(&'static str, String),
    /// 413: more than is taken. A sentence.
    #[error("{0}")]
    TooLarge(String),
    /// 415: the body is in a format that is not read. A sentence.
    #[error("{0}")]
    UnsupportedMedia(&'static str),
    /// 422: the request contradicts an earlier one. A code and a sentence.
    #[error("{1}")]
    Unprocessable(&'static str, String),
    /// 429: too many of something.
    #[error("too many {}: try again in {}", .0.what, in_words(.0.wait_s))]
    TooManyRequests(Box<TooMany>),
    /// 503: the database is unreachable, overloaded, or has no free connection. The client may retry.
    #[error("the service is temporarily unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// 503: the database takes no writes at the moment; reads go on.
    #[error("nothing can be changed at the moment: the database is read-only, try again later")]
    ReadOnly(#[source] sqlx::Error),
    /// 503: files can be neither stored nor read.
    #[error("files cannot be stored or read at the moment: try again later")]
    Storage(#[source] anyhow::Error),
    /// 500: an unexpected database error.
    #[error("internal error")]
    Database(#[source] sqlx::Error),
    /// 500: a defect of this program.
    #[error("internal error")]
    Internal(#[source] anyhow::Error),
}

/// What there was too much of, and when there may be more.
#[derive(Debug)]
pub struct TooMany {
    /// In the plural.
    pub what: &'static str,
    pub wait_s: u32,
    /// What describes the limit.
    pub headers: HeaderMap,
}

/// A time to wait, for people.
fn in_words(wait_s: u32) -> String {
    match wait_s {
        0..=1 => "a second".to_owned(),
        2..120 => format!("{wait_s} seconds"),
        120..7200 => format!("{} minutes", wait_s.div_ceil(60)),
        7200.. => format!("{} hours", wait_s.div_ceil(3600)),
    }
}

/// A field that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// The field's name as in the request, with a path where it is nested: `zipCodes[0]`.
    pub field: Cow<'static, str>,
    /// The rule, as a sentence that begins with the field.
    pub message: String,
}

/// An error as clients see it: RFC 9457, plus `statusCode`, `message` and `error`, which today's clients read.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub(crate) struct Problem {
    /// Always `about:blank`: `code` identifies the problem.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong, as a sentence.
    detail: String,
    /// A stable word for programs.
    code: &'static str,
    /// The same as `status`.
    status_code: u16,
    /// The detail, or one sentence per field.
    message: Message,
    /// The same as `title`.
    error: &'static str,
    /// The fields that break a rule.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// The request's id, as in the `x-request-id` header: quote it when you report a problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
enum Message {
    One(String),
    Many(Vec<String>),
}

impl Problem {
    /// The problem of a response that has only a status, such as those of axum and its layers.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let (code, detail) = match status {
            StatusCode::NOT_FOUND => ("route_not_found", "there is no such route"),
            StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", "this route does not take this method"),
            StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => ("timeout", "the request took too long"),
            StatusCode::PAYLOAD_TOO_LARGE => ("payload_too_large", "the body is too large"),
            _ if status.is_server_error() => ("internal_error", "internal error"),
            _ => ("bad_request", "the request cannot be read"),
        };
        Self::new(status, code, detail.to_owned())
    }

    fn new(status: StatusCode, code: &'static str, detail: String) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self {
            kind: "about:blank",
            title,
            status: status.as_u16(),
            message: Message::One(detail.clone()),
            detail,
            code,
            status_code: status.as_u16(),
            error: title,
            errors: Vec::new(),
            request_id: None,
        }
    }

    fn of_fields(errors: Vec<FieldError>) -> Self {
        let sentences: Vec<_> = errors.iter().map(|error| error.message.clone()).collect();
        let mut problem = Self::new(StatusCode::BAD_REQUEST, "validation_failed", sentences.join("; "));
        problem.message = Message::Many(sentences);
        problem.errors = errors;
        problem
    }

    /// The response, with the request id under which its log lines are found.
    pub(crate) fn into_response(mut self, request_id: Option<String>) -> Response {
        self.request_id = request_id;
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(self)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

impl Error {
    /// The code for programs and the sentence for people, as a socket receives them.
    #[must_use]
    pub fn code_and_message(&self) -> (&'static str, String) {
        let problem = self.problem();
        (problem.code, problem.detail)
    }

    fn problem(&self) -> Problem {
        let detail = self.to_string();
        let (status, code) = match self {
            Self::Invalid(errors) => return Problem::of_fields(errors.clone()),
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed"),
            Self::Refused(code, _) => (StatusCode::BAD_REQUEST, *code),
            Self::Unauthorized(_) => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Forbidden(code, _) => (StatusCode::FORBIDDEN, *code),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::Conflict(code, _) => (StatusCode::CONFLICT, *code),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large"),
            Self::UnsupportedMedia(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::Unprocessable(code, _) => (StatusCode::UNPROCESSABLE_ENTITY, *code),
            Self::TooManyRequests(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::ReadOnly(_) => (StatusCode::SERVICE_UNAVAILABLE, "read_only"),
            Self::Storage(_) => (StatusCode::SERVICE_UNAVAILABLE, "storage_unavailable"),
            Self::Database(_) | Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
        };
        Problem::new(status, code, detail)
    }
}

/// Carries the problem, and the cause of a 5xx, to the layer that logs and renders it (`web::layers`).
#[derive(Clone)]
pub(crate) struct Reported {
    pub(crate) problem: Problem,
    pub(crate) cause: Option<std::sync::Arc<Error>>,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let problem = self.problem();
        let mut response =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response();
        match &self {
            Self::Unauthorized(_) => {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::TooManyRequests(too_many) => {
                response.headers_mut().extend(too_many.headers.clone());
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(too_many.wait_s));
            }
            Self::Unavailable(_) | Self::Storage(_) => {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(1));
            }
            // Until somebody has made room.
            Self::ReadOnly(_) => {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(60));
            }
            _ => {}
        }
        let cause = matches!(
            self,
            Self::Unavailable(_) | Self::ReadOnly(_) | Self::Storage(_) | Self::Database(_) | Self::Internal(_)
        )
        .then(|| std::sync::Arc::new(self));
        response.extensions_mut().insert(Reported { problem, cause });
        response
    }
}

/// The error of too many of something. `what` is in the plural.
pub(crate) fn too_many(what: &'static str, wait_s: u32) -> Error {
    Error::TooManyRequests(Box::new(TooMany { what, wait_s, headers: HeaderMap::new() }))
}

/// The error of a single field that breaks a rule.
pub(crate) fn invalid(field: impl Into<Cow<'static, str>>, rule: &str) -> Error {
    let field = field.into();
    Error::Invalid(vec![FieldError { message: format!("{field} {rule}"), field }])
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match doors::meaning(&error) {
            Meaning::TryAgainLater => Self::Unavailable(error),
            Meaning::ReadOnly => Self::ReadOnly(error),
            Meaning::Never => Self::Malformed("text must not contain the character U+0000".into()),
            Meaning::OurFault => Self::Database(error),
        }
    }
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        Self::Internal(error)
    }
}

/// Whether `error` is a violation of this constraint. Uniqueness is checked by the database alone.
pub(crate) fn violates(error: &sqlx::Error, constraint: &str) -> bool {
    error.as_database_error().and_then(|error| error.constraint()) == Some(constraint)
}
