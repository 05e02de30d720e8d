//! The OpenAPI document and its interactive page.

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::routing::get;
use serde::Serialize;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoParams, OpenApi};
use utoipa_axum::router::UtoipaMethodRouter;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::error::Problem;

/// The frame of the document, which the handlers fill.
#[derive(OpenApi)]
#[openapi(
    info(title = "STM Backend", description = "A marketplace for home services: customers book providers, and they chat \
        about the job. The chat itself is Socket.IO, namespace /chat, described by /asyncapi.json."),
    components(schemas(Problem)),
    tags(
        (name = "auth", description = "Registration, login and the calling user"),
        (name = "customers", description = "The calling customer"),
        (name = "providers", description = "The calling provider"),
        (name = "reviews", description = "Reviews of paid jobs"),
        (name = "service requests", description = "Requests for services the catalogue lacks"),
        (name = "catalog", description = "Services and their providers; public"),
        (name = "jobs", description = "Bookings"),
        (name = "negotiation", description = "Offers about a new job, by either party"),
        (name = "disputes", description = "Complaints about jobs, resolved by LSMs"),
        (name = "lsm", description = "LSMs oversee their region's providers"),
        (name = "chat", description = "Chat history; live chat is Socket.IO"),
        (name = "files", description = "Files behind the URLs that other operations return"),
        (name = "admin", description = "Admins run the platform; all they do is recorded"),
        (name = "notifications", description = "The caller's notifications"),
        (name = "payments", description = "Earnings, invoices, and Stripe's events"),
        (name = "operations", description = "Health checks"),
    )
)]
pub(crate) struct Frame;

/// The `security` of a handler that serves one role, and the description of its 403.
const ROLES: [(&str, &str); 4] = [
    ("customer", "Not a customer"),
    ("provider", "Not a provider"),
    ("local_service_manager", "Not a local service manager"),
    ("admin", "Not an admin"),
];

/// The security scheme that all of them stand for.
const ACCESS_TOKEN: &str = "access_token";

/// The header of a request that may be repeated: `params(IdempotencyKey)`.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct IdempotencyKey {
    /// A repetition with the same key receives the first answer
    #[param(rename = "Idempotency-Key")]
    _key: Option<String>,
}

/// Completes what the handlers declared: the security scheme, the operations' ids, and the responses that many
/// operations share.
pub(crate) fn complete(mut api: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    api.components.get_or_insert_default().add_security_scheme(ACCESS_TOKEN, SecurityScheme::Http(scheme));
    for (path, item) in &mut api.paths.paths {
        for (method, operation) in operations(item) {
            let words: Vec<_> = path.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
            operation.operation_id = Some(format!("{method}_{}", words.join("_")));
            add_shared_responses(operation);
            for (status, response) in &mut operation.responses.responses {
                complete_response(status, response);
            }
        }
    }
    api
}

/// Adds the responses that follow from an operation's role, body and parameters. What the handler declares itself
/// stays; the operations of `auth` declare all their refusals.
fn add_shared_responses(operation: &mut Operation) {
    for (role, refusal) in ROLES {
        if operation.security == Some(vec![requirement(role)]) {
            operation.security = Some(vec![requirement(ACCESS_TOKEN)]);
            add_response(operation, "403", refusal);
        }
    }
    let is_auth = operation.tags.iter().flatten().any(|tag| tag == "auth");
    if operation.request_body.is_some() && !is_auth {
        add_response(operation, "400", "A field breaks a rule");
    } else if has_parameter(operation, |parameter| parameter.parameter_in == ParameterIn::Query) {
        add_response(operation, "400", "A parameter breaks a rule");
    }
    if has_parameter(operation, |parameter| parameter.name == "Idempotency-Key") {
        add_response(operation, "422", "The Idempotency-Key was used for another request");
    }
    add_response(operation, "default", "Any error: RFC 9457 problem details");
}

/// Gives a response the description of its status, if it has none, and a refusal its content.
fn complete_response(status: &str, response: &mut RefOr<Response>) {
    let RefOr::T(response) = response else { return };
    let status: Option<StatusCode> = status.parse().ok();
    if response.description.is_empty() {
        status
            .and_then(|status| status.canonical_reason())
            .unwrap_or("An answer")
            .clone_into(&mut response.description);
    }
    if response.content.is_empty() && status.is_none_or(|status| status.as_u16() >= 400) {
        let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        response.content.insert("application/problem+json".to_owned(), problem.into());
    }
}

fn requirement(scheme: &str) -> SecurityRequirement {
    SecurityRequirement::new(scheme, [""; 0])
}

fn has_parameter(operation: &Operation, matches: impl Fn(&Parameter) -> bool) -> bool {
    operation
        .parameters
        .iter()
        .flatten()
        .any(|parameter| matches!(parameter, RefOr::T(parameter) if matches(parameter)))
}

fn add_response(operation: &mut Operation, status: &str, description: &str) {
    let response = || ResponseBuilder::new().description(description).build().into();
    operation.responses.responses.entry(status.into()).or_insert_with(response);
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
pub(crate) fn also_at<S>(path: &str, mut routes: UtoipaMethodRouter<S>) -> UtoipaMethodRouter<S> {
    let paths = &mut routes.1.paths;
    if let Some(item) = paths.values().next().cloned() {
        paths.insert(path.to_owned(), item);
    }
    routes
}

/// Serves `/openapi.json`, and the page at `/docs` with assets from the binary.
pub(crate) fn routes(api: &utoipa::openapi::OpenApi) -> Router {
    const PATH: &str = "/openapi.json";
    Router::from(SwaggerUi::new("/docs").config(Config::from(PATH))).merge(serve(PATH, api))
}

/// Serves a document that never changes: written once, because what it is written from takes several megabytes.
pub(crate) fn serve(path: &str, document: &impl Serialize) -> Router {
    let written = serde_json::to_vec(document).inspect_err(|error| tracing::error!(%error, "{path} cannot be written"));
    let answer = ([(header::CONTENT_TYPE, "application/json")], Bytes::from(written.unwrap_or_default()));
    Router::new().route(path, get(async move || answer))
}

#[cfg(test)]
mod tests {
    use utoipa::openapi::path::{HttpMethod, OperationBuilder, PathsBuilder};
    use utoipa::openapi::request_body::RequestBody;
    use utoipa::openapi::{InfoBuilder, OpenApiBuilder};

    use super::*;

    #[test]
    fn shared_responses_follow_from_role_body_and_parameters() {
        let operation = OperationBuilder::new()
            .security(requirement("customer"))
            .parameters(Some(IdempotencyKey::into_params(|| None)))
            .request_body(Some(RequestBody::new()))
            .response("201", ResponseBuilder::new().build())
            .response("400", ResponseBuilder::new().description("Declared").build());
        let paths = PathsBuilder::new().path("/jobs", PathItem::new(HttpMethod::Post, operation));
        let api = OpenApiBuilder::new().info(InfoBuilder::new().title("").version("").build()).paths(paths).build();

        let api = serde_json::to_value(complete(complete(api))).unwrap();
        let operation = &api["paths"]["/jobs"]["post"];
        assert_eq!(operation["security"], serde_json::json!([{"access_token": []}]));
        assert_eq!(operation["responses"]["201"], serde_json::json!({"description": "Created"}));
        assert_eq!(operation["parameters"][0]["name"], "Idempotency-Key");
        assert_eq!(operation["parameters"][0]["in"], "header");
        assert_eq!(operation["parameters"][0]["required"], false);
        for (status, description) in [
            ("400", "Declared"),
            ("403", "Not a customer"),
            ("422", "The Idempotency-Key was used for another request"),
            ("default", "Any error: RFC 9457 problem details"),
        ] {
            let response = &operation["responses"][status];
            assert_eq!(response["description"], description);
            let schema = &response["content"]["application/problem+json"]["schema"];
            assert_eq!(schema["$ref"], "#/components/schemas/Problem");
        }
    }
}
