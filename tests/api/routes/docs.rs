//! The OpenAPI document and its page.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde_json::{Value, json};
use testing::world::World;

use crate::support::SERVE;

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

/// The committed document is what the routes declare: its diff is the review of the API.
/// `make openapi` writes it anew.
#[test]
fn snapshot() {
    let mut now = stm_backend::openapi().to_pretty_json().expect("JSON");
    now.push('\n');
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(SNAPSHOT, &now).expect("openapi.json");
    }
    let committed = std::fs::read_to_string(SNAPSHOT).expect("openapi.json");
    assert!(
        committed == now,
        "openapi.json differs from what the routes declare: run `make openapi`, and read the diff"
    );
}

#[tokio::test]
async fn the_served_document_is_complete() {
    let world = World::start(SERVE).await;
    let served = world.get("/openapi.json").await.expect(200);
    let committed: Value =
        serde_json::from_str(&std::fs::read_to_string(Path::new(SNAPSHOT)).expect("openapi.json")).expect("JSON");
    assert_eq!(served, committed);
    assert_eq!(served["openapi"], "3.1.0");
    let schemas = &served["components"]["schemas"];
    assert_eq!(schemas["Side"]["enum"], json!(["customer", "service_provider", "local_service_manager"]));
    assert_eq!(
        schemas["MessagesView"]["properties"]["messages"]["items"]["$ref"],
        "#/components/schemas/ChatMessageView"
    );
    let mut ids = HashSet::new();
    for (path, methods) in served["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let place = format!("{method} {path}");
            assert!(
                operation["summary"].is_string() || operation["description"].is_string(),
                "{place} has no description"
            );
            assert!(
                ids.insert(operation["operationId"].as_str().expect("an id").to_owned()),
                "{place}: its id is not its own"
            );
            assert!(operation["responses"]["default"].is_object(), "{place} does not document errors");
        }
    }
}

/// The page works without any other host: its assets are in the binary.
#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let world = World::start(SERVE).await;
    let page = world.get("/docs/").await;
    let html = page.body.as_str().expect("a page").to_owned();
    assert_eq!(page.status, 200);
    let sources =
        html.split(['"', '\'']).filter(|text| [".js", ".css", ".png"].iter().any(|ending| text.ends_with(ending)));
    let mut assets = 0;
    for source in sources {
        assert!(!source.starts_with("http") && !source.starts_with("//"), "{source}");
        let asset = world.get(&format!("/docs/{}", source.trim_start_matches("./"))).await;
        assert_eq!(asset.status, 200, "{source}");
        assets += 1;
    }
    assert!(assets >= 3, "{html}");
    let initializer = world.get("/docs/swagger-initializer.js").await;
    assert!(initializer.body.as_str().expect("a script").contains("/openapi.json"), "{}", initializer.body);
}

/// People who open the server in a browser find the way; programs still get a problem for every other unknown path.
#[tokio::test]
async fn the_home_page_leads_on() {
    let world = World::start(SERVE).await;
    let page = world.get("/").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let policy = page.headers["content-security-policy"].to_str().expect("text");
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");

    let html = page.body.as_str().expect("a page").to_owned();
    let links: Vec<_> = html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(links, ["/docs", "/asyncapi.json", "/health"]);
    for link in links {
        assert_eq!(world.get(link).await.status, 200, "{link}");
    }
    for line in ["curl -s $B/customer/booking", "clara.on(\"new_message\", resolve)", "(token) =&gt; io("] {
        assert!(html.contains(line), "{line} is not in {html}");
    }
    for tag in ["<script", "<style", "<img", "<link", "src="] {
        assert!(!html.contains(tag), "{tag} is in {html}");
    }
    let unknown = world.get("/index.html").await;
    assert_eq!((unknown.status.as_u16(), &unknown.body["code"]), (404, &json!("route_not_found")));
    let paths = stm_backend::openapi().paths.paths;
    assert!(!paths.contains_key("/"), "the home page is no operation: {:?}", paths.keys());
}

/// The walks of ARCHITECTURE.md name places as `file:function`: each is there.
#[test]
fn the_architecture_names_functions_that_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let places: Vec<_> = text.split('`').filter_map(|word| word.split_once(".rs:")).collect();
    assert!(places.len() > 12, "the walks are gone: {places:?}");
    for (file, function) in places {
        let code = std::fs::read_to_string(root.join(format!("{file}.rs"))).unwrap_or_default();
        assert!(
            code.contains(&format!("fn {function}(")) || code.contains(&format!("fn {function}<")),
            "{file}.rs:{function}"
        );
    }
}

/// Of two types with one name the document has only one, and an answer of the other fits it only if their fields are equal.
#[test]
fn types_that_share_a_name_are_equal() {
    let mut types = HashMap::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let code = std::fs::read_to_string(&path).expect("a file");
                for (name, fields) in code.split("\n\n").filter_map(documented_type) {
                    let other = types.insert(name.to_owned(), fields.to_owned());
                    let is_one = other.is_none_or(|other| other == fields);
                    assert!(is_one, "{}: another type is documented as {name}", path.display());
                }
            }
        }
    }
    assert!(types.contains_key("Problem") && types.contains_key("CreatedView"), "{types:?}");
}

/// The name of a type in the document, and its fields, if the paragraph declares one that is in it.
fn documented_type(paragraph: &str) -> Option<(&str, &str)> {
    let after = |word: &str| {
        let rest = paragraph.split(word).nth(1)?;
        rest.split(|c: char| !c.is_alphanumeric()).next().filter(|name| !name.is_empty())
    };
    let is_documented = paragraph.lines().any(|line| line.starts_with("#[derive(") && line.contains("ToSchema"));
    let (_, fields) = paragraph.split_once('{').filter(|_| is_documented)?;
    let name = after("schema(as = ").or_else(|| after("struct ")).or_else(|| after("enum "))?;
    Some((name, fields))
}
