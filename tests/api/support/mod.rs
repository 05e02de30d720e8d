//! What only these tests share.

pub mod clamd;
pub mod files;
pub mod mail;
pub mod s3;
mod scene;
pub mod stripe;
pub mod supabase;

use std::time::Duration;

use doors::url::{ConnectionString, Secret};
use doors::{Pooler, PoolerSettings};
use serde_json::{Value, json};
use testing::Database;
use testing::server::{Server, environment};
use testing::token::JWT_SECRET;
use testing::world::{Answer, User, World};

pub use scene::{Booked, Scene, ask, connect, join, next_seqs};

/// The program under test.
pub const SERVE: &str = env!("CARGO_BIN_EXE_serve");

/// The password in the connection strings of the local stack.
pub const PASSWORD_OF_THE_STACK: &str = "stm-local-password";

/// A count of chats whose `seq`s are not 1, 2, 3….
pub const CHATS_WITH_GAPS: &str = "select count(*) from stm.chats c
     where c.last_seq <> (select count(*) from stm.messages m where m.chat_id = c.id)
        or c.last_seq <> (select max(seq) from stm.messages m where m.chat_id = c.id)";

/// A pooler door of the test's own, to the same database.
pub fn pooler(database: &Database, max_connections: u32) -> Pooler {
    let url = ConnectionString::parse(Secret::DatabaseUrl, &database.database_url()).expect("a URL");
    let statement_timeout = Duration::from_secs(20);
    Pooler::new(&url, &PoolerSettings { max_connections, statement_timeout, ..PoolerSettings::default() })
        .expect("a door")
}

/// Starts the service with something wrong. It must end by itself, report what is expected, and keep its secrets.
#[track_caller]
pub fn refuses(database: &Database, changes: &[(&str, &str)], expected: &[&str]) -> String {
    let (status, output) = Server::run_to_exit(SERVE, &environment(database, changes));
    assert_eq!(status.code(), Some(1), "{changes:?}: {output}");
    for expected in expected {
        assert!(output.contains(expected), "{changes:?} does not report `{expected}`: {output}");
    }
    for secret in [PASSWORD_OF_THE_STACK, "hunter2", JWT_SECRET] {
        assert!(!output.contains(secret), "{changes:?} reveals a secret: {output}");
    }
    assert!(!output.contains("running at port"), "{output}");
    output
}

/// Sends a request to a server without a world.
pub async fn get(server: &Server, path: &str) -> Answer {
    World::answer(reqwest::Client::new().get(format!("{}{path}", server.base_url()))).await
}

/// A user as the scripts of `tests/clients` want it.
pub fn who(user: &User) -> Value {
    json!({"id": user.id, "token": user.token})
}

/// Runs a script of `tests/clients` that checks all by itself.
pub async fn passes(world: &World, script: &str, arguments: Value) {
    let report = world.client(script, &arguments).await;
    assert_eq!(report["ok"], true, "{report}");
}

/// The ids of a list.
pub fn ids(list: &Value) -> Vec<i64> {
    list.as_array().expect("a list").iter().map(|one| one["id"].as_i64().expect("an id")).collect()
}
