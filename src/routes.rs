//! Everything that answers a request: one line a feature. Which paths a feature has stands at its handlers.

use axum::Router;
use axum::http::StatusCode;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;

use crate::state::ApiState;
use crate::web::{docs, health, home};
use crate::{
    accounts, admin, auth, catalog, chat, customers, disputes, files, jobs, lsm, notifications, payments, providers,
    reviews, service_requests, sockets,
};

fn features() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(docs::Frame::openapi())
        .merge(accounts::routes())
        .merge(admin::routes())
        .merge(auth::routes())
        .merge(catalog::routes())
        .merge(chat::routes())
        .merge(customers::routes())
        .merge(disputes::routes())
        .merge(files::routes())
        .merge(jobs::routes())
        .merge(lsm::routes())
        .merge(notifications::routes())
        .merge(payments::routes())
        .merge(providers::routes())
        .merge(reviews::routes())
        .merge(service_requests::routes())
}

/// REST, health, and the documents that describe them and the sockets.
pub(crate) fn router(state: ApiState, parts: health::Parts) -> Router {
    let (routes, api) = features().with_state(state).merge(health::routes().with_state(parts)).split_for_parts();
    // By name, so that the layers around these routes are around it.
    let routes = routes.fallback(async || StatusCode::NOT_FOUND);
    routes.merge(home::routes()).merge(docs::routes(&docs::complete(api))).merge(sockets::asyncapi::routes())
}

/// The OpenAPI document, for the snapshot.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut api = features().into_openapi();
    api.merge(health::routes().into_openapi());
    docs::complete(api)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_limited_operation_exists() {
        let api = serde_json::to_value(super::openapi()).unwrap();
        for (method, path, _) in crate::limits::LIMITED {
            let method = method.as_str().to_lowercase();
            assert!(api["paths"][path][&method].is_object(), "{method} {path}");
        }
    }
}
