//! `/files/…`: what URLs of files open.

use axum::body::Body;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use chrono::Utc;
use object_store::{GetOptions, GetRange};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::store::{ReadError, Reading};
use super::types::{FileId, Kind};
use super::urls::{Grant, Version};
use super::{Files, queries};
use crate::error::{Error, Result};
use crate::state::ApiState;
use crate::web::extract::Path;
use doors::Pooler;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(serve))
}

const YEAR_S: i64 = 365 * 24 * 60 * 60;

/// Nothing that a file holds may run, load anything, or count as a page of ours.
const SANDBOX: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors *";

/// As [`SANDBOX`], but for the browser's own viewer, which no sandbox lets in. Scripts stay out.
const PDF: &str = "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'; frame-ancestors *";

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

#[derive(Deserialize)]
struct FilePath {
    id: Uuid,
    grant: String,
    signature: String,
}

/// Returns a file by a URL that another operation has returned. HEAD and Range requests are answered as well.
///
/// # Errors
/// 404 the URL is not one of ours, has expired, or the file is gone: the three look the same. 416 there is no such range.
#[utoipa::path(get, path = "/files/{id}/{grant}/{signature}/{name}", tag = "files",
    params(("id" = Uuid, Path), ("grant" = String, Path), ("signature" = String, Path), ("name" = String, Path),
        ("range" = Option<String>, Header, description = "One range of bytes")),
    responses(
        (status = 200, description = "The file", content_type = "*/*"),
        (status = 206, description = "A part of the file", content_type = "*/*"),
        (status = 304, description = "The client has the file already"),
        (status = 404, description = "Not a URL of ours, expired, or the file is gone"),
        (status = 416, description = "No such range"),
    ))]
async fn serve(
    State(pooler): State<Pooler>,
    State(files): State<Files>,
    Path(path): Path<FilePath>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response> {
    // As it stands in the URL: the signature covers it.
    let name = uri.path().rsplit('/').next().unwrap_or_default();
    let grant = files.urls.verify(path.id, &path.grant, &path.signature, name).ok_or(Error::NotFound("file"))?;
    let left_s = grant.expires_at.map(|at| (at - Utc::now()).num_seconds());
    if left_s.is_some_and(|left| left <= 0) {
        return Err(Error::NotFound("file"));
    }
    let row = queries::find(&pooler, FileId(path.id)).await?.ok_or(Error::NotFound("file"))?;
    let kind = Kind::of_content_type(&row.content_type).ok_or(Error::NotFound("file"))?;
    let (object, tag) = match grant {
        Grant { version: Version::Thumbnail, .. } if row.is_picture => ("thumbnail", format!("\"{}-s\"", path.id)),
        Grant { .. } => ("display", format!("\"{}\"", path.id)),
    };
    let shared = shared_headers(kind, name, &tag, left_s)?;
    if matches(&headers, &header::IF_NONE_MATCH, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, shared).into_response());
    }
    // A range of another version would not fit.
    let is_same = headers.get(header::IF_RANGE).is_none_or(|given| given.as_bytes() == tag.as_bytes());
    // A small version is sent as a whole, whatever is asked for.
    let range = headers.get(header::RANGE).filter(|_| is_same && object == "display");
    let range = range.and_then(|range| parse_range(range.to_str().ok()?));
    let is_partial = range.is_some();
    let is_empty =
        |range: &GetRange| *range == GetRange::Suffix(0) || range.as_range(row.bytes.cast_unsigned()).is_err();
    if range.as_ref().is_some_and(is_empty) {
        return Ok(out_of_range(row.bytes));
    }
    let options = GetOptions { range, ..GetOptions::default() };
    let reading = match files.store.get(&row.key, object, options).await {
        Ok(reading) => reading,
        Err(ReadError::Missing) => return Err(Error::NotFound("file")),
        Err(ReadError::Store(error)) => return Err(Error::Storage(error)),
    };
    answer(reading, is_partial, shared)
}

fn out_of_range(bytes: i64) -> Response {
    (StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, format!("bytes */{bytes}"))]).into_response()
}

fn answer(reading: Reading, is_partial: bool, mut headers: HeaderMap) -> Result<Response> {
    let Reading { size, range, stream } = reading;
    headers.insert(header::CONTENT_LENGTH, value(&(range.end - range.start).to_string())?);
    let status = if is_partial {
        let content_range = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
        headers.insert(header::CONTENT_RANGE, value(&content_range)?);
        StatusCode::PARTIAL_CONTENT
    } else {
        StatusCode::OK
    };
    Ok((status, headers, Body::from_stream(stream)).into_response())
}

/// The headers of every answer about a file. `name` as it stands in the URL; `left_s` until the URL expires.
fn shared_headers(kind: Kind, name: &str, tag: &str, left_s: Option<i64>) -> Result<HeaderMap> {
    let disposition = if kind.is_inline() { "inline" } else { "attachment" };
    let content_type = if kind == Kind::Text { "text/plain; charset=utf-8" } else { kind.content_type() };
    let cache = match left_s {
        None => format!("public, max-age={YEAR_S}, immutable"),
        Some(left_s) => format!("private, max-age={left_s}"),
    };
    let policy = if kind == Kind::Pdf { PDF } else { SANDBOX };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_DISPOSITION, value(&format!("{disposition}; filename*=UTF-8''{name}"))?);
    headers.insert(header::CACHE_CONTROL, value(&cache)?);
    headers.insert(header::ETAG, value(tag)?);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    Ok(headers)
}

fn value(text: &str) -> Result<HeaderValue> {
    Ok(HeaderValue::from_str(text).map_err(anyhow::Error::from)?)
}

/// Whether a conditional header names this tag.
fn matches(headers: &HeaderMap, name: &HeaderName, tag: &str) -> bool {
    let tags = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|one| one == tag || one == "*" || one.strip_prefix("W/") == Some(tag))
}

/// One range of bytes (RFC 9110, section 14.1.2). Returns `None` for several, or for what is none: the whole file is sent.
fn parse_range(text: &str) -> Option<GetRange> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    match (first.trim(), last.trim()) {
        ("", last) => number(last).map(GetRange::Suffix),
        (first, "") => number(first).map(GetRange::Offset),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then(|| GetRange::Bounded(first..last.saturating_add(1)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_read() {
        assert_eq!(parse_range("bytes=0-99"), Some(GetRange::Bounded(0..100)));
        assert_eq!(parse_range("bytes=5-"), Some(GetRange::Offset(5)));
        assert_eq!(parse_range("bytes=-5"), Some(GetRange::Suffix(5)));
        for bad in ["bytes=9-1", "bytes=a-b", "bytes=0-1,3-4", "lines=0-1", "bytes=-", "bytes=+1-2"] {
            assert_eq!(parse_range(bad), None, "{bad}");
        }
    }
}
