//! The servers behind the doors go away and come back, on a stack of this test's own.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Database, PATIENCE, World};

/// A stack of PostgreSQL and PgBouncer; taken down when dropped.
struct Stack {
    directory: TempDir,
    ports: [u16; 2],
}

impl Stack {
    fn up() -> Self {
        let free_port =
            || TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let stack = Self { directory: tempfile::tempdir().expect("a directory"), ports: [free_port(), free_port()] };
        stack.run("up");
        stack
    }

    fn run(&self, what: &str) {
        let output = self.command(what).output().expect("scripts/stack");
        assert!(output.status.success(), "stack {what}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn command(&self, what: &str) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/stack");
        let mut command = Command::new(script);
        command.arg(what).env("STACK_DIR", self.directory.path().join("stack"));
        command.env("PG_PORT", self.ports[0].to_string()).env("POOLER_PORT", self.ports[1].to_string());
        command
    }

    async fn database(&self) -> Database {
        let at = |port| format!("postgres://stm:stm-local-password@127.0.0.1:{port}/stm");
        Database::create_on(&at(self.ports[1]), &at(self.ports[0])).await
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let _best_effort = self.command("down").output();
    }
}

/// After PostgreSQL or the pooler was killed and is back, REST and chat work again by themselves, and every
/// acknowledged message is there, once.
#[tokio::test(flavor = "multi_thread")]
async fn killed_servers_come_back_and_nothing_acknowledged_is_lost() {
    let stack = Stack::up();
    let world = World::start_on(stack.database().await, &[]).await;
    let (customer, provider) = (world.customer().await, world.provider("Plumbing").await);
    let chat = world.book(&customer, &provider).await["chat"]["id"].clone();

    let stop_file = stack.directory.path().join("stop");
    let arguments = json!({"token": customer.token, "chatId": chat, "stopFile": stop_file});
    let kills = async {
        for server in ["kill-pooler", "kill-postgres", "restart-postgres", "restart-pooler"] {
            tokio::time::sleep(std::time::Duration::from_millis(700)).await;
            stack.run(server);
            stack.run("up");
            let back = std::time::Instant::now();
            while world.get("/readyz").await.status != 200 {
                assert!(back.elapsed() < PATIENCE, "{server}: not ready again");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            world.get_as(&customer, "/customer/profile").await.expect(200);
        }
        std::fs::write(&stop_file, "").expect("a file");
    };
    let (report, ()) = tokio::join!(world.client("persistent_sender.mjs", &arguments), kills);

    let acked = report["acked"].as_array().expect("acknowledged messages").clone();
    assert!(acked.len() > 20, "{report}");
    for ack in &acked {
        let stored = format!(
            "select count(*) from stm.messages where client_message_id = '{}' and seq = {} and id = '{}'",
            ack["clientMessageId"].as_str().expect("a name"),
            ack["seq"],
            ack["id"].as_str().expect("an id")
        );
        assert_eq!(world.number(&stored).await, 1, "{ack}");
    }
    let broken = "select count(*) from stm.chats c where c.last_seq <> (select count(*) from stm.messages m where m.chat_id = c.id)
                  or c.last_seq <> (select max(seq) from stm.messages m where m.chat_id = c.id)";
    assert_eq!(world.number(broken).await, 0, "seq is 1 to n");
    let twice =
        "select count(*) - count(distinct client_message_id) from stm.messages where client_message_id is not null";
    assert_eq!(world.number(twice).await, 0);
}
