//! The servers behind the doors go away and come back, on a stack of this test's own.

use serde_json::json;
use testing::world::World;
use testing::{PATIENCE, Stack};

use crate::support::{CHATS_WITH_GAPS, SERVE, Scene};

/// After PostgreSQL or the pooler was killed and is back, REST and chat work again by themselves, and every
/// acknowledged message is there, once.
#[tokio::test(flavor = "multi_thread")]
async fn killed_servers_come_back_and_nothing_acknowledged_is_lost() {
    let stack = Stack::up().await;
    let scene = Scene::on(World::start_on(SERVE, stack.database().await, &[]).await).await.book().await;
    let Scene { world, customer, .. } = &*scene;

    let stop_file = stack.path("stop");
    let arguments = json!({"token": customer.token, "chatId": scene.chat, "stopFile": stop_file});
    let kills = async {
        for server in ["kill-pooler", "kill-postgres", "restart-postgres", "restart-pooler"] {
            tokio::time::sleep(std::time::Duration::from_millis(700)).await;
            stack.run(server).await;
            stack.run("up").await;
            let back = std::time::Instant::now();
            while world.get("/readyz").await.status != 200 {
                assert!(back.elapsed() < PATIENCE, "{server}: not ready again");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            world.get_as(customer, "/customer/profile").await.expect(200);
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
    assert_eq!(world.number(CHATS_WITH_GAPS).await, 0);
    let twice =
        "select count(*) - count(distinct client_message_id) from stm.messages where client_message_id is not null";
    assert_eq!(world.number(twice).await, 0);
}
