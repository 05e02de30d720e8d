//! Connections that break again and again, with the real socket.io-client.

use serde_json::json;
use testing::chats;
use testing::world::World;

use crate::support::SERVE;

#[tokio::test(flavor = "multi_thread")]
async fn drops_of_websockets_lose_and_repeat_nothing() {
    drops("websocket").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drops_of_polling_lose_and_repeat_nothing() {
    drops("polling").await;
}

async fn drops(transport: &str) {
    let world = World::start(SERVE).await;
    let chat = chats::create(&mut world.database.session().await, 1, 5).await.remove(0);
    let tokens: Vec<_> = chat.members.iter().map(|member| &member.token).collect();
    let arguments = json!({"senders": tokens[..2], "readers": tokens[2..], "chatId": chat.id, "transport": transport, "forMs": 10_000});
    let report = world.client("drops.mjs", &arguments).await;
    println!("{transport}: {report}");
    assert!(report["cuts"].as_u64().is_some_and(|cuts| cuts >= 15), "{report}");
    assert!(report["acked"].as_i64().is_some_and(|acked| acked > 50), "{report}");
    assert_eq!(report["acked"], world.number("select count(*) from stm.messages").await, "{report}");
    assert_eq!(report["acked"], world.number("select max(seq) from stm.messages").await, "{report}");
    assert_eq!(report["faults"], json!([]));
    assert_eq!(report["repeats"], json!([]), "twice on one socket");
}
