//! What surrounds every route: request ids, logs, limits, errors, CORS.
//!
//! For every request, an axum layer costs a clone of everything below it and two allocations. So all that applies to every
//! REST request is one function ([`around`]), and only requests that need CORS pass through its layer ([`Site`]).

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tower_http::cors::{AllowCredentials, AllowHeaders, AllowOrigin, CorsLayer};
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::origin::AllowedOrigins;
use crate::error::{Error, Problem, Reported};

/// The maximum size of a request body, in bytes.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// The maximum time of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The maximum time of a request that uploads files.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(600);

/// Where files are served, to pages of every origin.
const FILES: &str = "/files/";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The request headers that responses depend on, for caches: also of responses to requests without an origin.
const VARY: HeaderValue = HeaderValue::from_static("origin, access-control-request-headers");

/// How much longer than a single statement all of a request's waits for the database may take together. The response
/// follows within another second.
const BEYOND_STATEMENT_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether a request's body took too long, so that it could not be read. An extension of the request.
#[derive(Debug, Clone, Default)]
pub(crate) struct SlowBody(Arc<AtomicBool>);

impl SlowBody {
    /// Records that the body's time is up.
    pub(crate) fn times_out(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// All routes, each reachable with CORS and without. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    routes: Router,
    for_browsers: Router,
}

impl Site {
    pub(crate) fn new(routes: Router, origins: AllowedOrigins) -> Self {
        let for_browsers = Router::new().fallback_service(routes.clone()).layer(cors(origins));
        Self { routes, for_browsers }
    }

    /// Answers a request: with CORS if it names an origin or is a preflight.
    pub(crate) async fn answer(&self, request: Request) -> Result<Response, Infallible> {
        if request.headers().contains_key(header::ORIGIN) || request.method() == Method::OPTIONS {
            return TowerToHyperService::new(self.for_browsers.clone()).call(request).await;
        }
        let mut response = TowerToHyperService::new(self.routes.clone()).call(request).await?;
        response.headers_mut().append(header::VARY, VARY);
        Ok(response)
    }
}

/// Allows pages of these origins to call with credentials. `Access-Control-Allow-Origin` echoes the origin, never `*`.
fn cors(origins: AllowedOrigins) -> CorsLayer {
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
            // For pages that read files in parts, or cache them.
            header::ACCEPT_RANGES,
            header::CONTENT_RANGE,
            header::ETAG,
        ])
        .max_age(Duration::from_secs(600))
}

/// Whether a request uploads files. Only routes that accept files read such a body.
fn is_upload(request: &Request) -> bool {
    let media = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let form = b"multipart/form-data";
    media.get(..form.len()).is_some_and(|start| start.eq_ignore_ascii_case(form))
}

/// How long a REST request may take.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// Until the response.
    timeout: Duration,
    /// All of its waits for the database together.
    budget: Duration,
}

impl Times {
    fn of(request: &Request, statement_timeout: Duration) -> Self {
        if is_upload(request) {
            // An upload waits for its files between statements, so its database budget is as long as the whole request.
            return Self { timeout: UPLOAD_TIMEOUT, budget: UPLOAD_TIMEOUT };
        }
        let budget = (statement_timeout + BEYOND_STATEMENT_TIMEOUT).min(REQUEST_TIMEOUT.mul_f32(0.9));
        Self { timeout: REQUEST_TIMEOUT, budget }
    }
}

/// Answers a REST request with the response of `handle`, within limits on time and size and in a span with the request's
/// own id. Always returns a response, even after a panic. Logs the cause of an error, and renders it.
pub(crate) async fn around<Handled>(
    mut request: Request,
    statement_timeout: Duration,
    handle: impl FnOnce(Request) -> Handled + Send,
) -> Response
where
    Handled: Future<Output = Response> + Send + 'static,
{
    let id = Uuid::now_v7();
    let span = span_of(&request, id);
    let slow = request.extensions().get::<SlowBody>().cloned().unwrap_or_default();
    let times = Times::of(&request, statement_timeout);
    let is_safe = request.method().is_safe();
    let started = Instant::now();

    DefaultBodyLimit::max(MAX_BODY_BYTES).apply(&mut request);
    let handled = doors::with_budget(times.budget, handle(request)).instrument(span.clone());
    let answered = tokio::time::timeout(times.timeout, async {
        if is_safe { or_panicked(handled).await } else { to_its_end(handled, 2 * times.timeout).await }
    });
    let mut response = answered.await.unwrap_or_else(|_| StatusCode::GATEWAY_TIMEOUT.into_response());
    if slow.0.load(Ordering::Relaxed) {
        response = StatusCode::REQUEST_TIMEOUT.into_response();
    }
    span.in_scope(|| log(&response, started));
    finish(response, id)
}

/// The span of a request, which names it in the log. Disabled, it costs nothing.
fn span_of(request: &Request, id: Uuid) -> Span {
    let route = || request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    tracing::info_span!("request", %id, method = %request.method(), route = route())
}

/// Runs a request that may write to its end, even if the client disconnects. The transaction is atomic either way, but
/// notifications are sent only after the commit. Still bounded: a client could send its body forever.
async fn to_its_end(handled: impl Future<Output = Response> + Send + 'static, at_most: Duration) -> Response {
    match tokio::spawn(tokio::time::timeout(at_most, handled)).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => StatusCode::GATEWAY_TIMEOUT.into_response(),
        Err(_) => panicked(),
    }
}

async fn or_panicked(handled: impl Future<Output = Response>) -> Response {
    AssertUnwindSafe(handled).catch_unwind().await.unwrap_or_else(|_| panicked())
}

/// The error of a panic, whose own message is in the log.
fn panicked() -> Response {
    Error::Internal(anyhow::anyhow!("a handler panicked")).into_response()
}

/// Logs the cause of an error.
fn log(response: &Response, started: Instant) {
    if let Some(cause) = response.extensions().get::<Reported>().and_then(|reported| reported.cause.as_ref()) {
        tracing::error!(error = std::error::Error::source(&**cause).map(tracing::field::display), "{cause}");
    }
    tracing::debug!(
        status = response.status().as_u16(),
        elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "answered"
    );
}

/// Renders the response if it is an error, and adds the headers that every response has.
fn finish(mut response: Response, id: Uuid) -> Response {
    let mut text = Uuid::encode_buffer();
    let id = &*id.hyphenated().encode_lower(&mut text);
    if response.status().is_client_error() || response.status().is_server_error() {
        response = render_problem(response, id);
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
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

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::middleware::{self, Next};
    use axum::routing::get;
    use serde_json::Value;
    use tokio::sync::{Notify, oneshot};

    use super::*;

    const PAGE: &str = "https://app.example.com";

    fn surrounded(routes: Router) -> Site {
        let routes = routes.layer(middleware::from_fn(|request, next: Next| {
            around(request, Duration::from_secs(5), |request| next.run(request))
        }));
        Site::new(routes, AllowedOrigins::parse(PAGE).unwrap())
    }

    fn request(method: Method, path: &str, headers: &[(&str, &str)]) -> Request {
        let request = Request::builder().method(method).uri(path);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(Body::empty()).unwrap()
    }

    async fn panics() -> &'static str {
        panic!("the fault")
    }

    #[tokio::test]
    async fn whatever_happens_the_answer_is_a_problem_with_an_id() {
        let site = surrounded(Router::new().route("/fault", get(panics).post(panics)));
        for (method, path, status) in [
            (Method::GET, "/fault", 500),
            (Method::POST, "/fault", 500),
            (Method::GET, "/nowhere", 404),
            (Method::PUT, "/fault", 405),
        ] {
            for headers in [&[][..], &[("origin", PAGE)]] {
                let response = site.answer(request(method.clone(), path, headers)).await.unwrap();
                assert_eq!(response.status(), status, "{method} {path}");
                let (head, body) = response.into_parts();
                let problem: Value = serde_json::from_slice(&to_bytes(body, 10_000).await.unwrap()).unwrap();
                assert_eq!(problem["status"], status);
                assert_eq!(head.headers["content-type"], "application/problem+json");
                assert_eq!(problem["requestId"], head.headers["x-request-id"].to_str().unwrap());
                assert_eq!(head.headers["x-content-type-options"], "nosniff");
                assert_eq!(head.headers["cache-control"], "no-store");
                assert_eq!(head.headers.contains_key("allow"), status == 405, "{:?}", head.headers);
                assert_eq!(head.headers.contains_key("access-control-allow-origin"), !headers.is_empty());
            }
        }
    }

    /// Credentials for the origins that are listed, files for all, and `Vary` on every response.
    #[tokio::test]
    async fn each_origin_may_read_what_it_should() {
        let site = surrounded(Router::new().route("/", get("a page")).route("/files/1", get("a file")));
        for (method, path, origin, allowed, with_credentials) in [
            (Method::GET, "/", Some(PAGE), true, true),
            (Method::OPTIONS, "/", Some(PAGE), true, true),
            (Method::GET, "/", Some("https://evil.example.com"), false, true),
            (Method::OPTIONS, "/nowhere", Some("https://evil.example.com"), false, true),
            (Method::GET, "/files/1", Some("https://evil.example.com"), true, false),
            (Method::GET, "/", None, false, false),
            (Method::OPTIONS, "/", None, false, false),
        ] {
            let mut headers = vec![("access-control-request-headers", "x-mine")];
            headers.extend(origin.map(|origin| ("origin", origin)));
            let response = site.answer(request(method.clone(), path, &headers)).await.unwrap();
            let (of, is_preflight) = (response.headers(), method == Method::OPTIONS);
            let what = format!("{method} {path} {origin:?}: {of:?}");
            assert_eq!(response.status(), 200, "{what}");
            assert_eq!(of.get_all("vary").iter().collect::<Vec<_>>(), [&VARY], "{what}");
            assert_eq!(
                of.get("access-control-allow-origin").map(|value| value.to_str().unwrap()),
                origin.filter(|_| allowed),
                "{what}"
            );
            assert_eq!(of.contains_key("access-control-allow-credentials"), with_credentials, "{what}");
            assert_eq!(of.contains_key("access-control-allow-methods"), is_preflight, "{what}");
            assert_eq!(
                of.get("access-control-allow-headers").is_some_and(|value| value == "x-mine"),
                is_preflight,
                "{what}"
            );
        }
        let response = site.answer(request(Method::GET, "/files/1", &[("origin", PAGE)])).await.unwrap();
        let exposed = response.headers()["access-control-expose-headers"].to_str().unwrap();
        for header in ["x-request-id", "retry-after", "ratelimit", "accept-ranges", "content-range", "etag"] {
            assert!(exposed.split(',').any(|name| name.trim() == header), "{header}: {exposed}");
        }
    }

    /// A site whose one route signals that it was reached, waits for `go_on`, and signals its end.
    fn slow_route(go_on: &Arc<Notify>) -> (Site, oneshot::Receiver<()>, oneshot::Receiver<()>) {
        let ((reached, is_reached), (ended, has_ended)) = (oneshot::channel(), oneshot::channel());
        let (go_on, ends) = (go_on.clone(), Arc::new(std::sync::Mutex::new(Some((reached, ended)))));
        let handle = move || async move {
            let (reached, ended) = ends.lock().unwrap().take().expect("one request");
            let _noted = reached.send(());
            go_on.notified().await;
            let _noted = ended.send(());
        };
        (surrounded(Router::new().route("/", get(handle.clone()).post(handle))), is_reached, has_ended)
    }

    #[tokio::test]
    async fn a_write_runs_to_its_end_without_its_client_and_a_read_does_not() {
        for (method, runs_on) in [(Method::POST, true), (Method::GET, false)] {
            let go_on = Arc::new(Notify::new());
            let (site, is_reached, has_ended) = slow_route(&go_on);
            let client = async { site.answer(request(method.clone(), "/", &[])).await };
            tokio::select! {
                _ = client => panic!("nothing has ended"),
                reached = is_reached => reached.unwrap(),
            }
            go_on.notify_one();
            assert_eq!(has_ended.await.is_ok(), runs_on, "{method}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_has_its_time_and_a_write_twice_as_much() {
        for method in [Method::POST, Method::GET] {
            let (site, _, has_ended) = slow_route(&Arc::new(Notify::new()));
            let started = tokio::time::Instant::now();
            let response = site.answer(request(method.clone(), "/", &[])).await.unwrap();
            assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
            assert_eq!(started.elapsed().as_secs(), REQUEST_TIMEOUT.as_secs());
            assert!(has_ended.await.is_err(), "it never ends by itself");
            let times = if method == Method::POST { 2 } else { 1 };
            assert_eq!(started.elapsed().as_secs(), times * REQUEST_TIMEOUT.as_secs(), "{method}");
        }
    }
}
