//! Functions that the service calls: each has a version, because two builds run at once during a deploy.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use testing::execute;
use testing::server::{Server, environment};

use crate::support::{SERVE, Scene};

fn files(folder: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| std::fs::read_to_string(path).expect("a text")).collect()
}

/// The functions of `stm` that a text calls or names after `before`.
fn functions(text: &str, before: &str) -> BTreeSet<String> {
    let mark = format!("{before}stm.");
    let named = text.split(&mark).skip(1).filter_map(|rest| {
        let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_')?;
        rest[end..].starts_with('(').then(|| rest[..end].to_owned())
    });
    named.collect()
}

fn is_versioned(name: &str) -> bool {
    name.rsplit_once("_v").is_some_and(|(_, version)| version.parse::<u32>().is_ok())
}

/// A function with a version is created once and never changed, and stays as long as this build calls it. Every function that
/// the service calls with rows has one.
#[test]
fn a_version_never_changes() {
    let statements: Vec<String> = files(".sqlx")
        .iter()
        .map(|file| serde_json::from_str::<Value>(file).expect("JSON")["query"].as_str().expect("a query").to_owned())
        .collect();
    let called: BTreeSet<_> =
        statements.iter().flat_map(|query| functions(query, "")).filter(|name| is_versioned(name)).collect();
    assert!(called.contains("book_v1") && called.contains("customer_profile_v1"), "{called:?}");
    let from: BTreeSet<_> = statements.iter().flat_map(|query| functions(query, "from ")).collect();
    assert!(from.iter().all(|name| is_versioned(name)), "without a version: {from:?}");

    let mut existing = BTreeSet::new();
    for migration in files("migrations") {
        for name in functions(&migration, "create or replace function ") {
            assert!(!is_versioned(&name), "{name} is changed: create its next version beside it");
        }
        for name in functions(&migration, "create function ").into_iter().filter(|name| is_versioned(name)) {
            assert!(existing.insert(name.clone()), "{name} is created twice");
        }
        for dropped in migration.split("drop function ").skip(1) {
            let (names, _) = dropped.split_once(';').expect("an end");
            existing.retain(|name| !names.contains(&format!("stm.{name}")));
        }
    }
    let missing: Vec<_> = called.difference(&existing).collect();
    assert!(missing.is_empty(), "called, and not there: {missing:?}");
}

/// A deploy: the next build's migrations are applied while this build runs and starts. A process whose function was changed
/// behind its back reads nothing wrong.
#[tokio::test(flavor = "multi_thread")]
async fn builds_of_two_versions_run_at_once() {
    let scene = Scene::start().await;
    let world = &scene.world;
    let profile = async || world.get_as(&scene.customer, "/customer/profile").await;
    let before = profile().await.expect(200);
    let mut session = world.database.session().await;
    let next = |version: &str, kind: &str| {
        format!(
            "create function stm.customer_profile_{version}(p_user bigint)
             returns table (first_name text, last_name text, email text, phone_number text, address text, region text,
                            zipcode text, total_jobs {kind}, total_spent_cents bigint)
             language sql stable set search_path = ''
             as $$ select 'Zed', 'Next', 'zed@example.com', null, 'x', 'x', 'x', '12345678'::{kind}, 1::bigint $$"
        )
    };
    execute(&mut session, &next("v2", "text")).await;
    let applied = "insert into stm._sqlx_migrations (version, description, success, checksum, execution_time)
                   values (9999, 'of the next build', true, '\\x00', 0)";
    execute(&mut session, applied).await;
    assert_eq!(profile().await.expect(200), before);
    world.book(&scene.customer, &scene.provider).await;
    let second = Server::start(SERVE, &environment(&world.database, &[]));
    drop(second);

    // Against the rule: eight bytes of text where this build reads a number.
    execute(&mut session, "drop function stm.customer_profile_v1").await;
    execute(&mut session, &next("v1", "text")).await;
    profile().await.expect(500);
    execute(&mut session, "drop function stm.customer_profile_v1").await;
    execute(&mut session, &next("v1", "bigint")).await;
    assert_eq!(profile().await.expect(200)["statistics"]["totalJobs"], 12_345_678);
}
