//! Who may import whom in `src`: no circles, and nothing that all features share knows a feature.

use std::collections::BTreeSet;
use std::path::Path;

/// What all features share, each with what it may import. `state` is the one arrow upwards: a router names its state.
const GROUND: [(&str, &[&str]); 17] = [
    ("types", &[]),
    ("logs", &[]),
    ("supervision", &[]),
    ("error", &["types"]),
    ("web", &["types", "error", "supervision"]),
    ("limits", &["types", "error"]),
    ("config", &["types", "files", "limits", "web"]),
    ("serving", &["limits", "web", "config", "supervision"]),
    ("auth", &["types", "error", "limits", "web", "config", "supervision", "state"]),
    ("realtime", &["types", "error", "auth"]),
    ("mail", &["types", "error", "config"]),
    ("idempotency", &["types", "error", "web"]),
    ("notifications", &["types", "error", "web", "auth", "realtime", "state"]),
    ("files", &["types", "error", "web", "state"]),
    (
        "chat",
        &["types", "error", "files", "supervision", "config", "web", "auth", "realtime", "notifications", "state"],
    ),
    ("outbox", &["types", "realtime", "notifications", "chat"]),
    // With the client of Stripe, which is a feature's.
    ("state", &["types", "limits", "auth", "files", "realtime", "chat", "outbox", "payments"]),
];

/// The features, each with the features it may import besides the whole ground. `chat` is one of them, though it stands
/// on the ground: what is announced after a commit, and so the state, needs it.
const FEATURES: [(&str, &[&str]); 11] = [
    ("accounts", &["providers", "service_requests"]),
    ("catalog", &[]),
    ("customers", &[]),
    ("providers", &[]),
    ("service_requests", &[]),
    ("jobs", &["chat"]),
    ("payments", &["chat", "jobs"]),
    ("reviews", &["chat", "jobs"]),
    ("disputes", &["chat", "jobs"]),
    ("lsm", &["chat", "jobs", "reviews", "disputes", "providers", "service_requests"]),
    ("admin", &["accounts", "catalog", "chat", "disputes", "jobs", "providers", "reviews", "service_requests"]),
];

/// They put the application together, so they see everything.
const TOP: [&str; 7] = ["bin", "demo", "lib", "main", "routes", "sockets", "worker"];

#[test]
fn a_folder_imports_only_what_stands_above_it() {
    let mut imports = BTreeSet::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in std::fs::read_dir(&source).expect("src") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        collect(&path, &name, &mut imports);
    }
    let broken: BTreeSet<_> =
        imports.iter().map(|(from, to)| (&**from, &**to)).filter(|(from, to)| !may(from, to)).collect();
    assert!(broken.is_empty(), "{broken:?}");
}

fn may(from: &str, to: &str) -> bool {
    let row =
        |table: &[(&str, &'static [&'static str])]| table.iter().find(|(name, _)| *name == from).map(|(_, to)| *to);
    if from == to || TOP.contains(&from) {
        return true;
    }
    if let Some(allowed) = row(&GROUND) {
        return allowed.contains(&to);
    }
    let features = row(&FEATURES).unwrap_or_else(|| panic!("src/{from} has no place in the tables of this test"));
    features.contains(&to) || to != "chat" && GROUND.iter().any(|(name, _)| *name == to)
}

/// Every `crate::x` and `crate::{x, y}` of a file, or of the files of a folder, comments apart.
fn collect(path: &Path, from: &str, imports: &mut BTreeSet<(String, String)>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("a folder") {
            collect(&entry.expect("an entry").path(), from, imports);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        let text = std::fs::read_to_string(path).expect("a file");
        let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for rest in code.join(" ").split("crate::").skip(1) {
            let list = rest.strip_prefix('{').and_then(|list| list.split('}').next());
            let names = list.map_or_else(|| vec![rest], |list| list.split(',').collect());
            let name =
                |path: &str| path.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::to_owned);
            imports
                .extend(names.into_iter().filter_map(name).filter(|to| !to.is_empty()).map(|to| (from.to_owned(), to)));
        }
    }
}
