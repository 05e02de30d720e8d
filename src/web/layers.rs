//! The layers around every route: request ids, logs, limits, errors, CORS.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowCredentials, AllowHeaders, AllowOrigin, CorsLayer};
use tracing::Instrument;
use uuid::Uuid;

use super::origin::AllowedOrigins;
use crate::error::{Error, Problem, Reported};

/// The maximum size of a request body, in bytes.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// The maximum time of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The maximum time of a request that brings files.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(600);

/// Where files are served, to pages of every origin.
const FILES: &str = "/files/";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How much longer than a single statement all of a request's waits for the database may take together. The answer follows
/// within another second.
const BEYOND_STATEMENT_TIMEOUT: Duration = Duration::from_secs(2);
/// Whether a request's body took too long, so that it could not be read. Rides in the request.
#[derive(Debug, Clone, Default)]
pub(crate) struct SlowBody(Arc<AtomicBool>);

impl SlowBody {
    /// The body's time is up.
    pub(crate) fn is_too_slow(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Adds the layers to the REST routes.
pub(crate) fn around_routes(router: Router, statement_timeout: Duration) -> Router {
    let budget = (statement_timeout + BEYOND_STATEMENT_TIMEOUT).min(REQUEST_TIMEOUT.mul_f32(0.9));
    router
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            // The database waits for files, so its time begins anew with each statement.
            let budget = if is_upload(&request) { UPLOAD_TIMEOUT } else { budget };
            doors::with_budget(budget, next.run(request))
        }))
        .layer(middleware::from_fn(finish_writes))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(CatchPanicLayer::custom(|_panic| panicked().into_response()))
        .layer(middleware::from_fn(observe))
}

/// Lets browsers of these origins call with credentials. `Access-Control-Allow-Origin` echoes the origin, never `*`.
pub(crate) fn cors(origins: AllowedOrigins) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, parts| {
            origins.allow(origin) || parts.uri.path().starts_with(FILES)
        }))
        .allow_credentials(AllowCredentials::predicate(|_, parts| !parts.uri.path().starts_with(FILES)))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            REQUEST_ID,
            header::RETRY_AFTER,
            HeaderName::from_static("ratelimit"),
            HeaderName::from_static("ratelimit-policy"),
        ])
        .max_age(Duration::from_secs(600))
}

/// Whether a request brings files. Only routes that take them read such a body.
fn is_upload(request: &Request) -> bool {
    let media = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let form = b"multipart/form-data";
    media.get(..form.len()).is_some_and(|start| start.eq_ignore_ascii_case(form))
}

/// The longest a request may take.
fn timeout_of(request: &Request) -> Duration {
    if is_upload(request) { UPLOAD_TIMEOUT } else { REQUEST_TIMEOUT }
}

/// Runs a request that may write to its end, even if the client disconnects. The transaction is atomic either way, but
/// notifications are sent only after the commit.
async fn finish_writes(request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    // Still bounded: a client could send its body forever.
    let run = tokio::time::timeout(2 * timeout_of(&request), next.run(request)).in_current_span();
    match tokio::spawn(run).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => StatusCode::GATEWAY_TIMEOUT.into_response(),
        Err(_) => panicked().into_response(),
    }
}

/// The error of a panic, whose own message is in the log.
fn panicked() -> Error {
    Error::Internal(anyhow::anyhow!("a handler panicked"))
}

/// Assigns an id, a time limit and a span to a request, logs it, and renders its error.
async fn observe(request: Request, next: Next) -> Response {
    let id = Uuid::now_v7().to_string();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("", MatchedPath::as_str);
    let span = tracing::info_span!("request", %id, %method, route);
    let slow = request.extensions().get::<SlowBody>().cloned().unwrap_or_default();
    let started = Instant::now();

    let answered = tokio::time::timeout(timeout_of(&request), next.run(request)).instrument(span.clone()).await;
    let mut response = answered.unwrap_or_else(|_| StatusCode::GATEWAY_TIMEOUT.into_response());
    if slow.0.load(Ordering::Relaxed) {
        response = StatusCode::REQUEST_TIMEOUT.into_response();
    }
    let status = response.status();
    span.in_scope(|| {
        if let Some(cause) = response.extensions().get::<Reported>().and_then(|reported| reported.cause.as_ref()) {
            tracing::error!(error = std::error::Error::source(&**cause).map(tracing::field::display), "{cause}");
        }
        tracing::debug!(
            status = status.as_u16(),
            elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "answered"
        );
    });

    if status.is_client_error() || status.is_server_error() {
        response = render_problem(response, &id);
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Responses are for the caller alone; only static assets set a header of their own.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Renders every error as a problem, including those of axum and its layers. Headers such as `Allow` stay.
fn render_problem(mut response: Response, id: &str) -> Response {
    let status = response.status();
    let is_json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    let problem = match response.extensions_mut().remove::<Reported>() {
        Some(reported) => reported.problem,
        // The report of a health check.
        None if is_json => return response,
        None => Problem::of_status(status),
    };
    let mut rendered = problem.into_response(Some(id.to_owned()));
    for (name, value) in response.headers() {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            rendered.headers_mut().append(name, value.clone());
        }
    }
    rendered
}
