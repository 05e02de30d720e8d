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
use doors::{Access, Direct, PoolStatus, Pooler};

/// The maximum time of a ping: `/readyz` answers within two seconds.
const PING_TIMEOUT: Duration = Duration::from_millis(1800);

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
    /// `ok`; `unavailable` if a database does not answer; `degraded` if only a task is down; `read_only` if a database takes no
    /// writes.
    status: &'static str,
    /// The transaction pooler: `ok`, `read_only` (reads go on, writes are refused) or `unavailable`.
    pooler: &'static str,
    /// The direct connection: likewise.
    direct: &'static str,
    /// The tasks that have failed and do not work again yet, such as `changes` or `deadlines`.
    down: Vec<String>,
    /// How often a task had to be started again since the process started.
    restarts: u64,
    /// The connections of this process to both.
    pools: PoolsView,
}

#[derive(Debug, Serialize, ToSchema)]
struct PoolsView {
    pooler: PoolView,
    direct: PoolView,
}

/// The connections of a door.
#[derive(Debug, Serialize, ToSchema)]
struct PoolView {
    /// Those included that are being made.
    connections: usize,
    /// Those of them that nobody uses.
    idle: usize,
    /// What waits for one.
    waiting: usize,
}

impl From<PoolStatus> for PoolView {
    fn from(status: PoolStatus) -> Self {
        let PoolStatus { connections, idle, waiting, .. } = status;
        Self { connections, idle, waiting }
    }
}

/// Readiness: pings both databases, each with a time limit of two seconds, and looks after the tasks of this process. A
/// read-only database is ready: reads go on.
///
/// # Errors
/// 503 with the database that does not answer, or the task that is down.
#[utoipa::path(get, path = "/readyz", tag = "operations",
    responses((status = 200, body = ReadyView), (status = 503, body = ReadyView)))]
async fn readyz(State(parts): State<Parts>) -> Response {
    let (pooler, direct) = tokio::join!(state_of(parts.pooler.check()), state_of(parts.direct.ping()));
    let (mut down, restarts) = (parts.tasks.down(), parts.tasks.restarts());
    if !parts.pooler.is_accepting() {
        down.push("relay".to_owned());
    }
    let (status, in_words) = match pooler.max(direct) {
        DoorState::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        _ if !down.is_empty() => (StatusCode::SERVICE_UNAVAILABLE, "degraded"),
        state => (StatusCode::OK, state.as_str()),
    };
    let pools = PoolsView { pooler: parts.pooler.pool_status().into(), direct: parts.direct.pool_status().into() };
    let view = ReadyView { status: in_words, pooler: pooler.as_str(), direct: direct.as_str(), down, restarts, pools };
    (status, Json(view)).into_response()
}

/// The state of a door, from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum DoorState {
    Ok,
    ReadOnly,
    Unavailable,
}

impl DoorState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ReadOnly => "read_only",
            Self::Unavailable => "unavailable",
        }
    }
}

async fn state_of(ping: impl Future<Output = sqlx::Result<Access>>) -> DoorState {
    match tokio::time::timeout(PING_TIMEOUT, ping).await {
        Ok(Ok(Access::ReadWrite)) => DoorState::Ok,
        Ok(Ok(Access::ReadOnly)) => DoorState::ReadOnly,
        Ok(Err(_)) | Err(_) => DoorState::Unavailable,
    }
}
