//! The searches, and the lists of admins, on 10,000 providers and 100,000 jobs, and the first booking of all: none reads a large
//! table from end to end.

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use testing::queries::{self, Function, statement, with_arguments};
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
    explained(session, &sql).await
}

/// The same for the statement of a function, planned both ways, because PostgreSQL may do either: for these arguments, and
/// once for all.
async fn scanned_by(session: &mut PgConnection, function: &str, arguments: &[&str]) -> Vec<String> {
    let Function { types, sql } = queries::function(function);
    let mut found = Vec::new();
    for mode in ["force_custom_plan", "force_generic_plan"] {
        let prepare = format!("set plan_cache_mode = {mode}; prepare the_statement ({}) as {sql}", types.join(", "));
        execute(session, &prepare).await;
        found.extend(explained(session, &format!("execute the_statement ({})", arguments.join(", "))).await);
        execute(session, "deallocate the_statement; reset plan_cache_mode").await;
    }
    found
}

/// The large tables that the plan of a statement reads from end to end.
async fn explained(session: &mut PgConnection, sql: &str) -> Vec<String> {
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(format!("explain (format json) {sql}")))
        .persistent(false)
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

/// The lists of admins, each with its filters and orders. All customers and all reviews are counted from end to end: their
/// tables are hardly larger than an index.
fn lists_of_admins() -> Vec<(&'static str, String, Vec<&'static str>)> {
    let providers = statement("x.business_name ilike $1");
    let of_providers = |search, region, status, lsm, order, direction| {
        (providers.clone(), vec![search, region, status, lsm, "null", "null", order, direction, "20", "0"])
    };
    let jobs = statement("j.provider_id = any(array(");
    let of_jobs = |status, provider, lsm, region, from, order| {
        let parameters = vec![status, provider, "null", "null", lsm, region, from, "null", order, "'desc'", "20", "0"];
        (jobs.clone(), parameters)
    };
    let customers = statement("stm.region_key(c.region) = stm.region_key($2)");
    let of_customers = |search, region, status| (customers.clone(), vec![search, region, status, "20", "0"]);
    let reviews = statement("$4::smallint = 1 and $5::smallint = 5");
    let of_reviews = |provider, min, max| (reviews.clone(), vec!["null", provider, "null", min, max, "20", "0"]);
    let (null, newest) = ("null", "'createdAt'");
    let lists = [
        ("providers", of_providers(null, null, null, null, newest, "'desc'")),
        ("providers by rating", of_providers(null, null, null, null, "'rating'", "'desc'")),
        ("providers by name", of_providers(null, null, null, null, "'businessName'", "'asc'")),
        ("providers by earnings", of_providers(null, null, null, null, "'totalEarnings'", "'desc'")),
        ("providers by jobs", of_providers(null, null, null, null, "'totalJobs'", "'asc'")),
        ("providers by words", of_providers("'%business 777%'", null, null, null, newest, "'desc'")),
        ("providers of a region", of_providers(null, "'Seed region 7'", null, null, newest, "'desc'")),
        ("providers who wait", of_providers(null, null, "'pending'", null, newest, "'desc'")),
        ("providers of an LSM", of_providers(null, null, null, "2900007", "'rating'", "'desc'")),
        ("jobs", of_jobs(null, null, null, null, null, newest)),
        ("jobs by price", of_jobs(null, null, null, null, null, "'price'")),
        ("open jobs", of_jobs("'{new,in_progress}'", null, null, null, null, newest)),
        ("jobs of a provider", of_jobs(null, "3000007", null, null, null, newest)),
        ("jobs of an LSM", of_jobs(null, null, "2900007", null, null, newest)),
        ("jobs of a region", of_jobs("'{paid}'", null, null, "'Seed region 7'", null, newest)),
        ("jobs of a day", of_jobs(null, null, null, null, "'yesterday'", newest)),
        ("customers by words", of_customers("'%customer-777@%'", null, null)),
        ("customers of a region", of_customers(null, "'Seed region 7'", null)),
        ("banned customers", of_customers(null, null, "'banned'")),
        ("bad reviews", of_reviews(null, "1", "2")),
        ("reviews of a provider", of_reviews("3000007", "1", "5")),
    ];
    lists.into_iter().map(|(name, (sql, parameters))| (name, sql, parameters)).collect()
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
    let found_providers = statement("select o.provider_id, o.rating, o.total_jobs");
    let (everywhere, at_zip) = ("search_services_v1", "search_services_at_v1");
    for (name, function, arguments) in [
        ("all services", everywhere, vec![null, null, null, null, null, "20", "0"]),
        ("by words", everywhere, vec!["'kitchen cleaning'", "'kitchen:* & cleaning:*'", null, null, null, "20", "0"]),
        ("by category", everywhere, vec![null, null, "'Repairs'", null, null, "20", "0"]),
        ("by price", everywhere, vec![null, null, null, "5000", "9000", "20", "0"]),
        ("by ZIP code", at_zip, vec![null, null, null, null, null, "'20007'", "20", "0"]),
        (
            "by ZIP code and words",
            at_zip,
            vec!["'roof'", "'roof:*'", "'Repairs'", "5000", "9000", "'20007'", "20", "0"],
        ),
        ("offers of a service", "list_service_providers_v1", vec!["3000007", "'20007'", "'rating'", "100"]),
        ("offers everywhere", "list_service_providers_v1", vec!["3000007", null, "'price'", "100"]),
        ("a provider's page", "provider_page_v1", vec!["3000007", "5"]),
        ("a customer's profile", "customer_profile_v1", vec!["4000007"]),
        ("a customer's dashboard", "customer_dashboard_v1", vec!["4000007"]),
        ("a customer's jobs", "list_customer_jobs_v1", vec!["4000007", "100", "0"]),
        ("a job", "job_details_v1", vec!["5000007", "4000007"]),
        ("a provider's jobs", "list_provider_jobs_v1", vec!["3000007", null, null, null, "20", "0"]),
        ("a provider's new jobs", "list_provider_jobs_v1", vec!["3000007", "'{new}'", "'2026-01-01'", null, "20", "0"]),
        ("a customer's chats", "list_chats_v1", vec!["4000007", "'customer'", "100", "0"]),
        ("notifications", "list_notifications_v1", vec!["4000007", null, null, null, "20", "0"]),
    ] {
        assert_eq!(scanned_by(&mut session, function, &arguments).await, <[String; 0]>::default(), "{name}");
    }
    for (name, parameters) in [
        ("providers", ["3000007", "'20007'", null, null, "100"]),
        ("providers by price and rating", ["3000007", "'20007'", "9000", "4.0", "5"]),
    ] {
        assert_eq!(scanned(&mut session, &found_providers, &parameters).await, <[String; 0]>::default(), "{name}");
    }
    for (name, phrase, parameters) in [
        ("suggestions", "as category_nearness", vec!["'kitch'", "'kitch:*'", "20"]),
        ("a service by name", "order by lower(s.name) = lower($1) desc", vec!["'roof repair'", "'roof:* & repair:*'"]),
        ("places", "select z.zip_code, served.region", vec!["'200:*'", "10"]),
        ("alternatives", "as \"service_areas?\"", vec!["5000007", "4000007", "20"]),
        ("an LSM's dashboard", "as \"new_providers!\"", vec!["2900007"]),
        ("an LSM's jobs", "as \"value_cents!\"", vec!["2900007", null, null, null, null, "20", "0"]),
        (
            "an LSM's jobs by all",
            "as \"value_cents!\"",
            vec!["2900007", "3000007", "array['new']", "'2026-01-01'", "'2030-01-01'", "20", "0"],
        ),
        ("an LSM's providers", "as \"rejection_reason?\"", vec!["2900007", "'active'", "20", "0"]),
        ("an LSM's provider", "as \"ban_requested!\"", vec!["3000007", "2900007"]),
        ("an LSM's new providers", "p.status = 'pending' and u.closed_at is null", vec!["2900007", "100"]),
        ("an LSM's service requests", "as \"lsm_reviewed_at?\"", vec!["2900007", null, "20", "0"]),
    ] {
        assert_eq!(scanned(&mut session, &statement(phrase), &parameters).await, <[String; 0]>::default(), "{name}");
    }

    // Counting all rows of a list is an index's work once the table was vacuumed, as it is in use.
    execute(&mut session, "vacuum (analyze)").await;
    for (name, sql, parameters) in lists_of_admins() {
        assert_eq!(scanned(&mut session, &sql, &parameters).await, <[String; 0]>::default(), "{name}");
    }

    // This test can fail.
    execute(&mut session, "drop index stm.provider_services_bookable, stm.provider_services_service_id").await;
    let parameters = ["null", "null", "null", "5000", "9000", "20", "0"];
    let found = scanned_by(&mut session, "search_services_v1", &parameters).await;
    assert!(found.contains(&"provider_services".to_owned()), "{found:?}");
}

/// A customer, and a service that they can book. The tables that a booking fills are still empty.
const ONE_CUSTOMER: &str = "
    insert into stm.services (id, name, category) overriding system value values (1, 'Roofing', 'Repairs');
    insert into stm.users (id, email, first_name, last_name, role) overriding system value values
        (1, 'customer@example.com', 'Ann', 'Archer', 'customer'), (2, 'provider@example.com', 'Pete', 'Pipes', 'service_provider'),
        (3, 'lsm@example.com', 'Lena', 'Local', 'local_service_manager');
    insert into stm.local_service_managers (id, user_id, region) overriding system value values (3, 3, 'New York');
    insert into stm.customers (id, user_id, address, region, zipcode) overriding system value
    values (1, 1, '1 Main Street', 'New York', '10001');
    insert into stm.providers (id, user_id, lsm_id, business_name, region, status, terms_accepted_at, first_message_template)
    overriding system value values (2, 2, 3, 'Pipes', 'New York', 'active', now(), 'Hello, [CUSTOMER_NAME]');
    insert into stm.provider_zip_codes (provider_id, zip_code, position) values (2, '10001', 1);
    insert into stm.provider_services (provider_id, service_id) values (2, 1)";

/// A pooled server keeps the plans of its first booking. They use indexes even if the tables are still empty, and so do the
/// checks of foreign keys.
#[tokio::test(flavor = "multi_thread")]
async fn a_booking_reads_no_table_from_end_to_end_even_if_it_is_the_first() {
    let database = Database::create().await;
    drop(Server::start(SERVE, &environment(&database, &[])));
    let mut session = database.session().await;
    execute(&mut session, ONE_CUSTOMER).await;
    execute(&mut session, "vacuum (analyze)").await;

    let scanned = async |session: &mut PgConnection| {
        execute(&mut *session, "begin").await;
        let book = "select job_id from stm.book_v1(1, 1, 2, '10001', null, '{}', '{https://images.example/1.jpg}', '{}', false,
             null, null, null, null, gen_random_uuid(), array[gen_random_uuid(), gen_random_uuid(), gen_random_uuid()], 'Please',
             ' come', '{pictures}', 'soon', 4000, 'New job request', ' has requested ')";
        let job: Option<i64> = sqlx::query_scalar(book).fetch_one(&mut *session).await.expect("a booking");
        assert!(job.is_some(), "nothing prevents it");
        let scanned = "select relname from pg_stat_xact_user_tables where seq_scan > 0 order by relname";
        let scanned: Vec<String> = sqlx::query_scalar(scanned).fetch_all(&mut *session).await.expect("tables");
        execute(session, "rollback").await;
        scanned
    };
    assert_eq!(scanned(&mut session).await, ["settings"], "of one row");

    // This test can fail.
    let mut session = database.session().await;
    execute(&mut session, "alter function stm.book_v1 reset enable_seqscan").await;
    execute(&mut session, "alter function stm.insert_notification_v1 reset enable_seqscan").await;
    let found = scanned(&mut session).await;
    assert!(["chats", "notifications"].iter().all(|name| found.contains(&(*name).to_owned())), "{found:?}");
}
