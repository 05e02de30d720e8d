//! Liveness and readiness: whether both databases answer, and whether every long-lived task runs. The only place in REST
//! that reaches both doors, and only to ping them.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::Json;
use crate::supervision::Health;
use crate::types::Timestamp;
use doors::{Direct, Pooler};

/// The maximum time of a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// What is looked at.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    /// REST's.
    pub pooler: Pooler,
    /// The sockets'.
    pub direct: Direct,
    /// The long-lived tasks.
    pub tasks: Health,
}

/// `/health`, `/livez`, `/readyz`.
pub(crate) fn routes() -> OpenApiRouter<Parts> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(livez)).routes(routes!(readyz))
}

/// The state of the service.
#[derive(Debug, Serialize, ToSchema)]
struct HealthView {
    /// Always `ok`.
    status: &'static str,
    timestamp: Timestamp,
    /// Always `STM Backend`.
    service: &'static str,
    version: &'static str,
}

/// Reports that the service runs, without looking at the databases.
#[utoipa::path(get, path = "/health", tag = "operations", responses((status = 200, body = HealthView)))]
async fn health() -> Json<HealthView> {
    Json(HealthView {
        status: "ok",
        timestamp: Utc::now().into(),
        service: "STM Backend",
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// Liveness: answers as long as the process serves requests.
#[utoipa::path(get, path = "/livez", tag = "operations", responses((status = 200, body = HealthView)))]
async fn livez() -> Json<HealthView> {
    health().await
}

/// The state of both databases, and of the tasks of this process.
#[derive(Debug, Serialize, ToSchema)]
struct ReadyView {
    /// `ok`; `unavailable` if a database does not answer; `degraded` if only a task is down.
    status: &'static str,
    /// The transaction pooler: `ok` or `unavailable`.
    pooler: &'static str,
    /// The direct connection: `ok` or `unavailable`.
    direct: &'static str,
    /// The tasks that have failed and do not work again yet, such as `changes` or `deadlines`.
    down: Vec<String>,
    /// How often a task had to be started again since the process started.
    restarts: u64,
}

/// Readiness: pings both databases, each with a time limit of two seconds, and looks after the tasks of this process.
///
/// # Errors
/// 503 with the database that does not answer, or the task that is down.
#[utoipa::path(get, path = "/readyz", tag = "operations",
    responses((status = 200, body = ReadyView), (status = 503, body = ReadyView)))]
async fn readyz(State(parts): State<Parts>) -> Response {
    let pooler = tokio::time::timeout(PING_TIMEOUT, parts.pooler.ping());
    let direct = tokio::time::timeout(PING_TIMEOUT, parts.direct.ping());
    let (pooler, direct) = tokio::join!(pooler, direct);
    let word = |ok: bool| if ok { "ok" } else { "unavailable" };
    let (pooler, direct) = (matches!(pooler, Ok(Ok(()))), matches!(direct, Ok(Ok(()))));
    let (mut down, restarts) = (parts.tasks.down(), parts.tasks.restarts());
    if !parts.pooler.is_accepting() {
        down.push("relay".to_owned());
    }
    let (status, in_words) = match (pooler && direct, down.is_empty()) {
        (true, true) => (StatusCode::OK, "ok"),
        (true, false) => (StatusCode::SERVICE_UNAVAILABLE, "degraded"),
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    let view = ReadyView { status: in_words, pooler: word(pooler), direct: word(direct), down, restarts };
    (status, Json(view)).into_response()
}
