//! Liveness and readiness. The only place in REST that reaches both doors, and only to ping them.

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
use crate::types::Timestamp;
use doors::{Direct, Pooler};

/// The maximum time of a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Both doors.
#[derive(Debug, Clone)]
pub(crate) struct Doors {
    /// REST's.
    pub pooler: Pooler,
    /// The sockets'.
    pub direct: Direct,
}

/// `/health`, `/livez`, `/readyz`.
pub(crate) fn routes() -> OpenApiRouter<Doors> {
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

/// The state of both databases.
#[derive(Debug, Serialize, ToSchema)]
struct ReadyView {
    /// `ok` or `unavailable`.
    status: &'static str,
    /// The transaction pooler: `ok` or `unavailable`.
    pooler: &'static str,
    /// The direct connection: `ok` or `unavailable`.
    direct: &'static str,
}

/// Readiness: pings both databases, each with a time limit of two seconds.
///
/// # Errors
/// 503 with the one that does not answer.
#[utoipa::path(get, path = "/readyz", tag = "operations",
    responses((status = 200, body = ReadyView), (status = 503, body = ReadyView)))]
async fn readyz(State(doors): State<Doors>) -> Response {
    let pooler = tokio::time::timeout(PING_TIMEOUT, doors.pooler.ping());
    let direct = tokio::time::timeout(PING_TIMEOUT, doors.direct.ping());
    let (pooler, direct) = tokio::join!(pooler, direct);
    let word = |ok: bool| if ok { "ok" } else { "unavailable" };
    let (pooler, direct) = (matches!(pooler, Ok(Ok(()))), matches!(direct, Ok(Ok(()))));
    let status = if pooler && direct { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ReadyView { status: word(pooler && direct), pooler: word(pooler), direct: word(direct) }))
        .into_response()
}
