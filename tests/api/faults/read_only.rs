//! A database that takes no writes, as Supabase makes it when its disk is nearly full.

use std::time::Instant;

use serde_json::json;
use testing::chats;
use testing::server::{Server, environment};
use testing::socket_io::{Client, nowhere};
use testing::world::World;
use testing::{Database, PATIENCE, execute};

use crate::support::{SERVE, refuses};

/// Sets the default of new connections, and ends the others.
async fn set_read_only(session: &mut sqlx::PgConnection, database: &Database, value: &str) {
    let url = database.direct_url();
    let name = url.rsplit_once('/').expect("a database").1;
    execute(session, &format!("alter database {name} set default_transaction_read_only = {value}")).await;
    execute(session, "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()").await;
}

async fn until_ready(world: &World, status: &str) {
    let started = Instant::now();
    loop {
        let ready = world.get("/readyz").await;
        if ready.status == 200 && ready.body["status"] == status {
            assert_eq!((&ready.body["pooler"], &ready.body["direct"]), (&json!(status), &json!(status)));
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{} {}", ready.status, ready.body);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_on_and_writes_say_why_not() {
    let world = World::start(SERVE).await;
    let customer = world.customer().await;
    let mut session = world.database.session().await;
    let chat = chats::create(&mut session, 1, 2).await.remove(0);
    let send = json!({"chatId": chat.id, "message": "hello"});
    until_ready(&world, "ok").await;

    set_read_only(&mut session, &world.database, "on").await;
    until_ready(&world, "read_only").await;
    world.get("/services").await.expect(200);
    world.get_as(&customer, "/customer/profile").await.expect(200);
    let login = json!({"email": customer.email, "password": testing::world::PASSWORD});
    for refused in
        [world.patch_as(&customer, "/notifications/mark-all-read").await, world.post("/auth/login", &login).await]
    {
        assert!(refused.headers.contains_key("retry-after"), "{}", refused.body);
        assert_eq!(refused.expect(503)["code"], "read_only");
    }
    // A process that has nothing to migrate starts.
    let other = Server::start(SERVE, &environment(&world.database, &[]));
    let client = Client::connect(other.port, &chat.members[0].token, nowhere()).await.expect("a connection");
    let joined = client.ask("join_chat", &json!({"chatId": chat.id})).await.expect("an answer");
    assert_eq!(joined["chatId"], json!(chat.id), "{joined}");
    let sent = client.ask("send_message", &send).await.expect("an answer");
    assert_eq!(sent["error"]["code"], "unavailable", "{sent}");

    set_read_only(&mut session, &world.database, "off").await;
    until_ready(&world, "ok").await;
    world.patch_as(&customer, "/notifications/mark-all-read").await.expect(200);
}

/// One that has does not, and says so.
#[tokio::test]
async fn a_missing_migration_cannot_be_applied() {
    let database = Database::create().await;
    let mut session = database.session().await;
    set_read_only(&mut session, &database, "on").await;
    refuses(&database, &[], &["DIRECT_URL", "read-only", "migration"]);
}
