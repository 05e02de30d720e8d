//! What every answer has to satisfy: `openapi.json`, and `calls.json`, which says what the web client reads.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::{Registry, Validator};
use serde_json::{Value, json};

static OPENAPI: LazyLock<Value> = LazyLock::new(|| read("openapi.json"));
static CALLS: LazyLock<Value> = LazyLock::new(|| read("tests/clients/contract/calls.json"));

/// The name under which schemas refer to `openapi.json`.
const OPENAPI_URI: &str = "urn:openapi";

static REGISTRY: LazyLock<Registry<'static>> = LazyLock::new(|| {
    let documents = Registry::new().add(OPENAPI_URI, &*OPENAPI).expect("a document");
    documents.prepare().expect("references within the document")
});

/// The compiled schemas, by what they describe.
static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// The operations of the web client that this process has seen succeed.
static EXERCISED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn read(path: &str) -> Value {
    let path = format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The entries of `calls.json`.
pub fn calls() -> &'static [Value] {
    CALLS.as_array().expect("a list")
}

/// The operations of `openapi.json`: method and path.
pub fn served() -> impl Iterator<Item = (&'static str, &'static str)> {
    let paths = OPENAPI["paths"].as_object().expect("paths").iter();
    paths.flat_map(|(path, item)| item.as_object().expect("operations").keys().map(move |method| (&**method, &**path)))
}

/// The name of an operation, whatever its parameters are called: `GET /jobs/{}`.
pub fn operation(method: &str, path: &str) -> String {
    let segments: Vec<_> = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect();
    format!("{} {}", method.to_uppercase(), segments.join("/"))
}

/// The operations of the web client that this process has seen succeed, in the shape that the client reads.
pub fn exercised() -> BTreeSet<String> {
    EXERCISED.lock().expect("a lock").clone()
}

/// Checks an answer.
///
/// # Panics
/// It is not what the documents say.
#[track_caller]
pub fn check(method: &str, path: &str, status: u16, body: &Value) {
    let violations = violations(method, path, status, body);
    assert!(violations.is_empty(), "{method} {path} answers {status}: {}\n{body}", violations.join("; "));
    if let (200..300, Some(call)) = (status, call(method, path)) {
        EXERCISED.lock().expect("a lock").insert(operation(method, text(&call["path"])));
    }
}

/// What is wrong with an answer, a line each.
pub fn violations(method: &str, path: &str, status: u16, body: &Value) -> Vec<String> {
    let mut found = match documented(method, path) {
        Some(template) => against_openapi(method, template, status, body),
        None if status >= 400 && !is_elsewhere(path) => errors_of("problem", &problem(), body),
        None => Vec::new(),
    };
    if let Some(call) = call(method, path) {
        let name = format!("calls.json: {method} {}", text(&call["path"]));
        found.extend(match status {
            200..300 => errors_of(&name, &call["response"], body),
            400.. => errors_of("calls.json: an error", &readable_error(), body),
            _ => Vec::new(),
        });
    }
    found
}

/// Paths that answer without being operations: pages, documents and Engine.IO.
fn is_elsewhere(path: &str) -> bool {
    ["/docs", "/socket.io"].iter().any(|prefix| path.starts_with(prefix))
}

fn against_openapi(method: &str, template: &str, status: u16, body: &Value) -> Vec<String> {
    let name = format!("{method} {template}");
    let path = template.replace('/', "~1");
    let response = format!("/paths/{path}/{}/responses/{status}", method.to_lowercase());
    let schema = format!("{response}/content/application~1json/schema");
    match (OPENAPI.pointer(&schema), status) {
        (None, ..400) if OPENAPI.pointer(&response).is_none() => {
            vec![format!("openapi.json has no {status} for {name}")]
        }
        (None, 400..) => errors_of("problem", &problem(), body),
        (None, _) => Vec::new(),
        (Some(_), _) => errors_of(&format!("openapi.json: {name} {status}"), &reference(&schema), body),
    }
}

/// A schema that is in `openapi.json` at a JSON pointer, which is percent-encoded where it must be.
fn reference(pointer: &str) -> Value {
    json!({"$ref": format!("{OPENAPI_URI}#{}", pointer.replace('{', "%7B").replace('}', "%7D"))})
}

fn problem() -> Value {
    reference("/components/schemas/Problem")
}

/// What the client reads of an error.
fn readable_error() -> Value {
    let sentences = json!([{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]);
    json!({"type": "object", "required": ["message"], "properties": {"message": {"anyOf": sentences}}})
}

/// The violations of a schema, which is compiled once a process under its name.
fn errors_of(name: &str, schema: &Value, body: &Value) -> Vec<String> {
    let validator = {
        let mut validators = VALIDATORS.lock().expect("a lock");
        let compile = || Arc::new(compile(schema).unwrap_or_else(|error| panic!("{name}: {error}")));
        Arc::clone(validators.entry(name.to_owned()).or_insert_with(compile))
    };
    let errors = validator.iter_errors(body);
    errors.map(|error| format!("{name}: ${}: {error}", error.instance_path())).collect()
}

fn compile(schema: &Value) -> Result<Validator, String> {
    let options = jsonschema::options().with_registry(&REGISTRY).should_validate_formats(true);
    options.build(schema).map_err(|error| error.to_string())
}

/// The path in `openapi.json` of the operation that a request is for.
fn documented(method: &str, path: &str) -> Option<&'static str> {
    let method = method.to_lowercase();
    best(served().filter(|(other, _)| *other == method).map(|(_, template)| (template, template)), path)
}

/// The entry of `calls.json` that a request is for.
fn call(method: &str, path: &str) -> Option<&'static Value> {
    let entries = calls().iter().filter(|call| call["method"] == method);
    best(entries.map(|call| (text(&call["path"]), call)), path)
}

/// What belongs to the template that fits a path best: words count more than parameters.
fn best<T>(templates: impl Iterator<Item = (&'static str, T)>, path: &str) -> Option<T> {
    let fitting = templates.filter_map(|(template, of)| Some((fit(template, path)?, of)));
    fitting.max_by_key(|(words, _)| *words).map(|(_, of)| of)
}

/// How many words a template and a path share. Returns `None` if they do not match.
fn fit(template: &str, path: &str) -> Option<usize> {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    let is_fit = |(wanted, part): (&&str, &&str)| wanted == part || (wanted.starts_with('{') && !part.is_empty());
    let fits = template.len() == path.len() && template.iter().zip(&path).all(is_fit);
    fits.then(|| template.iter().zip(&path).filter(|(wanted, part)| wanted == part).count())
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_with_more_words_counts() {
        let call = |path| call("GET", path).map(|call| text(&call["path"]));
        assert_eq!(call("/provider/reviews/stats"), Some("/provider/reviews/stats"));
        assert_eq!(call("/provider/reviews/7"), Some("/provider/reviews/{id}"));
        assert_eq!(call("/provider/reviews/"), None);
    }

    #[test]
    fn an_answer_the_client_cannot_read_is_named() {
        let found = violations("GET", "/customer/jobs", 200, &json!({}));
        assert!(found.iter().any(|text| text.starts_with("openapi.json: GET /customer/jobs 200: $")), "{found:?}");
        assert!(found.iter().any(|text| text.starts_with("calls.json: GET /customer/jobs: $")), "{found:?}");
        assert_eq!(violations("GET", "/customer/jobs", 200, &json!([])), Vec::<String>::new());
    }

    #[test]
    fn errors_and_undocumented_successes_are_checked() {
        assert!(!violations("GET", "/customer/jobs", 400, &json!({"message": []})).is_empty());
        assert!(!violations("GET", "/nowhere", 404, &json!({})).is_empty());
        assert!(!violations("GET", "/customer/jobs", 299, &json!([])).is_empty());
        assert!(violations("GET", "/docs/index.html", 404, &json!("")).is_empty());
    }
}
