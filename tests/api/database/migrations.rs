//! Migrations at the start: one that fails, one that was changed, and several processes.

use testing::server::{Server, environment};
use testing::{Database, execute};

use crate::support::{SERVE, get, refuses};

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
