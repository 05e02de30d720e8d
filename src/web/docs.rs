//! The OpenAPI document and its interactive page.

use axum::Router;
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, ResponseBuilder, path::PathItem};
use utoipa_axum::router::UtoipaMethodRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::error::Problem;

/// The document's frame; the handlers fill it.
#[derive(OpenApi)]
#[openapi(
    info(title = "STM Backend", description = "A marketplace for home services: customers book providers, and they chat about the job. The chat itself is Socket.IO, namespace /chat, described by /asyncapi.json."),
    components(schemas(Problem)),
    tags(
        (name = "auth", description = "Registration, login, and who is calling"),
        (name = "customers", description = "The calling customer"),
        (name = "providers", description = "The calling provider"),
        (name = "reviews", description = "What customers say of jobs that are done and paid"),
        (name = "service requests", description = "Services that somebody misses"),
        (name = "catalog", description = "Services and who offers them; public"),
        (name = "jobs", description = "Bookings"),
        (name = "negotiation", description = "Offers about a new job, by either party"),
        (name = "disputes", description = "What went wrong with a job, and how its LSM has settled it"),
        (name = "chat", description = "Chat history; live chat is Socket.IO"),
        (name = "notifications", description = "What the caller has been told"),
        (name = "operations", description = "Health"),
    )
)]
pub struct Frame;

/// Completes what the handlers declared: the security scheme, an id for each operation made of its method
/// and path, and the shape of errors.
#[must_use]
pub fn complete(mut api: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    api.components.get_or_insert_default().add_security_scheme("access_token", SecurityScheme::Http(scheme));
    let problem = ResponseBuilder::new()
        .description("Any error: RFC 9457 problem details")
        .content(
            "application/problem+json",
            ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build(),
        )
        .build();
    for (path, item) in &mut api.paths.paths {
        for (method, operation) in operations(item) {
            let words: Vec<_> = path.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
            operation.operation_id = Some(format!("{method}_{}", words.join("_")));
            operation.responses.responses.insert("default".into(), problem.clone().into());
        }
    }
    api
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    [
        ("get", &mut item.get),
        ("post", &mut item.post),
        ("put", &mut item.put),
        ("patch", &mut item.patch),
        ("delete", &mut item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| operation.as_mut().map(|operation| (method, operation)))
}

/// Serves and documents `routes` under a second path.
pub fn also_at<S>(path: &str, mut routes: UtoipaMethodRouter<S>) -> UtoipaMethodRouter<S> {
    let paths = &mut routes.1.paths;
    if let Some(item) = paths.values().next().cloned() {
        paths.insert(path.to_owned(), item);
    }
    routes
}

/// Serves `/openapi.json`, and the page at `/docs` with its assets built in.
pub fn routes(api: utoipa::openapi::OpenApi) -> Router {
    SwaggerUi::new("/docs").url("/openapi.json", api).into()
}
