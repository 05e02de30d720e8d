//! The searches on 10,000 providers and 100,000 jobs: none reads a large table from end to end.

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use testing::queries::{statement, with_arguments};
use testing::server::{Server, environment};
use testing::{Database, execute};

use crate::support::SERVE;

const LARGE: [&str; 9] = [
    "providers",
    "provider_services",
    "provider_zip_codes",
    "customers",
    "users",
    "jobs",
    "chats",
    "chat_members",
    "reviews",
];

/// The large tables that a statement's plan reads from end to end. Planned with its parameters known, as unnamed
/// statements are.
async fn scanned(session: &mut PgConnection, sql: &str, parameters: &[&str]) -> Vec<String> {
    let sql = with_arguments(sql, parameters);
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(format!("explain (format json) {sql}")))
        .fetch_one(session)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let mut found = Vec::new();
    collect(&plan, &mut found);
    found
}

fn collect(plan: &Value, found: &mut Vec<String>) {
    match plan {
        Value::Array(plans) => plans.iter().for_each(|plan| collect(plan, found)),
        Value::Object(node) => {
            let relation = node.get("Relation Name").and_then(Value::as_str).unwrap_or_default();
            if node.get("Node Type").is_some_and(|kind| kind == "Seq Scan") && LARGE.contains(&relation) {
                found.push(relation.to_owned());
            }
            node.values().for_each(|value| collect(value, found));
        }
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_search_reads_a_large_table_from_end_to_end() {
    let database = Database::create().await;
    drop(Server::start(SERVE, &environment(&database, &[])));
    let mut session = database.session().await;
    execute(&mut session, "set stm_seed.providers = 10000; set stm_seed.messages = off").await;
    execute(&mut session, include_str!("../../../benches/service/marketplace.sql")).await;
    session.close().await.expect("closed");
    let mut session = database.session().await;

    let null = "null";
    let anywhere =
        statement("f.rank desc, f.nearness desc, f.is_popular desc, f.name, f.id\n               limit $6 offset $7");
    let at_zip = statement("limit $7 offset $8");
    let found_providers = statement("select o.provider_id, o.rating, o.total_jobs");
    let searches: Vec<(&str, &str, Vec<&str>)> = vec![
        ("all services", &anywhere, vec![null, null, null, null, null, "20", "0"]),
        ("by words", &anywhere, vec!["'kitchen cleaning'", "'kitchen:* & cleaning:*'", null, null, null, "20", "0"]),
        ("by category", &anywhere, vec![null, null, "'Repairs'", null, null, "20", "0"]),
        ("by price", &anywhere, vec![null, null, null, "5000", "9000", "20", "0"]),
        ("by ZIP code", &at_zip, vec![null, null, null, null, null, "'20007'", "20", "0"]),
        (
            "by ZIP code and words",
            &at_zip,
            vec!["'roof'", "'roof:*'", "'Repairs'", "5000", "9000", "'20007'", "20", "0"],
        ),
        ("providers", &found_providers, vec!["3000007", "'20007'", null, null, "100"]),
        ("providers by price and rating", &found_providers, vec!["3000007", "'20007'", "9000", "4.0", "5"]),
    ];
    for (name, sql, parameters) in searches {
        assert_eq!(scanned(&mut session, sql, &parameters).await, <[String; 0]>::default(), "{name}");
    }
    for (name, phrase, parameters) in [
        (
            "offers of a service",
            "when $3 = 'price' then o.min_price_cents",
            vec!["3000007", "'20007'", "'rating'", "100"],
        ),
        ("offers everywhere", "when $3 = 'price' then o.min_price_cents", vec!["3000007", "null", "'price'", "100"]),
        ("suggestions", "as category_nearness", vec!["'kitch'", "'kitch:*'", "20"]),
        ("a service by name", "order by lower(s.name) = lower($1) desc", vec!["'roof repair'", "'roof:* & repair:*'"]),
        ("places", "select z.zip_code, served.region", vec!["'200:*'", "10"]),
        ("a provider's page", "as \"review_count!\"", vec!["3000007", "5"]),
        ("alternatives", "as \"service_areas?\"", vec!["5000007", "4000007", "20"]),
        ("a job", "case when jsonb_typeof(j.answers)", vec!["5000007", "4000007"]),
        ("an LSM's dashboard", "as \"new_providers!\"", vec!["2900007"]),
        ("an LSM's jobs", "as \"value_cents!\"", vec!["2900007", null, null, null, null, "20", "0"]),
        (
            "an LSM's jobs by all",
            "as \"value_cents!\"",
            vec!["2900007", "3000007", "array['new']", "'2026-01-01'", "'2030-01-01'", "20", "0"],
        ),
        ("an LSM's providers", "jsonb_array_length(p.documents) as documents", vec!["2900007", "'active'", "20", "0"]),
        ("an LSM's provider", "as \"ban_requested!\"", vec!["3000007", "2900007"]),
        ("an LSM's new providers", "p.status = 'pending' and u.closed_at is null", vec!["2900007", "100"]),
        ("an LSM's service requests", "as \"lsm_reviewed_at?\"", vec!["2900007", null, "20", "0"]),
    ] {
        assert_eq!(scanned(&mut session, &statement(phrase), &parameters).await, <[String; 0]>::default(), "{name}");
    }

    // This test can fail.
    execute(&mut session, "drop index stm.provider_services_bookable, stm.provider_services_service_id").await;
    let parameters = ["null", "null", "null", "5000", "9000", "20", "0"];
    let found = scanned(&mut session, &anywhere, &parameters).await;
    assert!(found.contains(&"provider_services".to_owned()), "{found:?}");
}
