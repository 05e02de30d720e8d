//! Migrations at the start: one that fails, one that was changed, and several processes.

use testing::server::{Server, environment};
use testing::{Database, execute};

use crate::support::{SERVE, Scene, get, refuses};

#[tokio::test]
async fn names_a_migration_that_fails() {
    let database = Database::create().await;
    execute(&mut database.session().await, "create schema stm; create table stm.users (id int)").await;
    refuses(&database, &[], &["DIRECT_URL", "migration 1 failed", "\"users\" already exists"]);
    let tables = "select count(*) from pg_tables where schemaname = 'stm' and tablename <> '_sqlx_migrations'";
    let left: i64 = sqlx::query_scalar(tables).fetch_one(&mut database.session().await).await.expect("tables");
    assert_eq!(left, 1, "a failed migration leaves nothing behind");
}

#[tokio::test]
async fn names_a_migration_that_was_changed() {
    let database = Database::create().await;
    drop(Server::start(SERVE, &environment(&database, &[])));
    execute(&mut database.session().await, "update stm._sqlx_migrations set checksum = '\\x00' where version = 2")
        .await;
    refuses(&database, &[], &["DIRECT_URL", "migration 2 was changed"]);
}

/// A rolling deploy: the old build starts again on the schema of the new one.
#[tokio::test]
async fn accepts_a_database_that_is_ahead() {
    let database = Database::create().await;
    drop(Server::start(SERVE, &environment(&database, &[])));
    let future = "insert into stm._sqlx_migrations (version, description, success, checksum, execution_time)
                  values (9999, 'of a later build', true, '\\x00', 0)";
    execute(&mut database.session().await, future).await;
    drop(Server::start(SERVE, &environment(&database, &[])));
}

#[tokio::test]
async fn two_processes_start_at_once_on_an_empty_database() {
    let database = Database::create().await;
    let start = || {
        let environment = environment(&database, &[]);
        tokio::task::spawn_blocking(move || Server::start(SERVE, &environment))
    };
    let (first, second) = tokio::join!(start(), start());
    let servers = [first.expect("the first starts"), second.expect("the second starts")];
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "select version, count(*) from stm._sqlx_migrations where success group by version order by version",
    )
    .fetch_all(&mut database.session().await)
    .await
    .expect("migrations");
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).expect("migrations").count();
    assert_eq!(rows.len(), files);
    assert!(rows.iter().all(|(_, applied)| *applied == 1), "{rows:?}");
    for server in &servers {
        get(server, "/services").await.expect(200);
    }
}

/// Rows of before: addresses with what nobody sees, and days that were midnight in UTC.
#[tokio::test]
async fn what_was_stored_before_takes_its_one_form() {
    let scene = Scene::booked().await;
    let mut session = scene.world.database.session().await;
    for (email, _) in FORMS {
        let insert = "insert into stm.users (email, first_name, last_name, role) values ($1, 'Ann', 'Old', 'customer')";
        sqlx::query(insert).bind(email).execute(&mut session).await.expect("a user");
    }
    execute(
        &mut session,
        "update stm.jobs set scheduled_at = '2027-01-20T00:00:00Z', preferred_at = '2027-01-20T09:30:00Z'",
    )
    .await;
    execute(&mut session, include_str!("../../../migrations/0014_one_form.sql")).await;

    let list = "select email from stm.users where last_name = 'Old' order by id";
    let emails: Vec<String> = sqlx::query_scalar(list).fetch_all(&mut session).await.expect("addresses");
    assert_eq!(emails, FORMS.map(|(_, form)| form));
    let times = "select concat_ws(' ', scheduled_at at time zone 'UTC', preferred_at at time zone 'UTC') from stm.jobs";
    assert_eq!(scene.world.text(times).await, "2027-01-20 12:00:00.000001 2027-01-20 09:30:00");
}

/// Addresses that were stored, and what becomes of them.
const FORMS: [(&str, &str); 10] = [
    ("plain@example.com", "plain@example.com"),
    ("ann\u{200b}@example.com\u{a0}", "ann@example.com"),
    ("rene\u{301}@example.com", "ren\u{e9}@example.com"),
    ("a@b\u{fc}cher.example", "a@xn--bcher-kva.example"),
    ("a@mail.m\u{fc}nchen.example", "a@mail.xn--mnchen-3ya.example"),
    ("a@президент.example", "a@xn--d1abbgf6aiiy.example"),
    ("a@例え.example", "a@xn--r8jz45g.example"),
    // The oldest of two gets it, unless somebody has it already.
    ("twin\u{200b}@example.com", "twin@example.com"),
    ("twin\u{200c}@example.com", "twin\u{200c}@example.com"),
    ("pl\u{ad}ain@example.com", "pl\u{ad}ain@example.com"),
];
