//! The news that a membership has ended may come late: whoever has left hears nothing all the same.

use std::process::Command;
use std::time::Duration;

use serde_json::json;
use testing::PATIENCE;
use testing::socket_io::Event;
use testing::world::World;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::{Scene, ask, connect, join};

/// The backend of PostgreSQL that brings the service its news, stopped for as long as this lives.
struct StoppedListener(i32);

impl StoppedListener {
    async fn of(world: &World) -> Self {
        let listening = "select coalesce(max(pid), 0)::bigint from pg_stat_activity
                         where datname = current_database() and query ilike 'listen%'";
        let pid = i32::try_from(world.number(listening).await).expect("a pid");
        assert_ne!(pid, 0, "nobody listens");
        signal("-STOP", pid);
        Self(pid)
    }
}

impl Drop for StoppedListener {
    fn drop(&mut self) {
        signal("-CONT", self.0);
    }
}

fn signal(signal: &str, pid: i32) {
    let status = Command::new("kill").args([signal, &pid.to_string()]).status().expect("kill");
    assert!(status.success() || std::thread::panicking(), "kill {signal} {pid}");
}

/// Waits for events of these names, in any order.
async fn hears(events: &mut mpsc::Receiver<Event>, names: &[&str]) {
    let mut missing = names.to_vec();
    let received = timeout(PATIENCE, async {
        while !missing.is_empty() {
            let event = events.recv().await.expect("a connection");
            missing.retain(|name| !event.is(name));
        }
    });
    let in_time = received.await;
    assert!(in_time.is_ok(), "none of {missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_left_hears_nothing_before_the_news_arrives() {
    let scene = Scene::booked().await;
    let Scene { world, customer, provider } = &*scene;
    let (writer, _own) = connect(&world.server, customer).await;
    let (tab, mut tab_hears) = connect(&world.server, customer).await;
    let (leaver, mut leaver_hears) = connect(&world.server, &provider.user).await;
    for client in [&writer, &tab, &leaver] {
        join(client, &scene.chat).await;
    }

    let listener = StoppedListener::of(world).await;
    let user = provider.user.id;
    world
        .sql(&format!(
            "update stm.chat_members set left_at = now() where chat_id = '{}' and user_id = {user}",
            scene.chat
        ))
        .await;
    // What is there before counts for nothing.
    while timeout(Duration::from_millis(200), leaver_hears.recv()).await.is_ok() {}

    ask(&writer, "typing", json!({"chatId": scene.chat, "isTyping": true})).await;
    hears(&mut tab_hears, &["user_typing"]).await;
    ask(&writer, "mark_read", json!({"chatId": scene.chat})).await;
    hears(&mut tab_hears, &["messages_read"]).await;
    ask(&writer, "send_message", json!({"chatId": scene.chat, "message": "Is it only us?"})).await;
    hears(&mut tab_hears, &["new_message"]).await;
    let offer = json!({"job_id": scene.job, "proposed_price": 90});
    scene.customer_posts("/chat/negotiation/send-offer", &offer).await.expect(201);
    // The line that the offer writes is read from the database, by a feeder.
    hears(&mut tab_hears, &["negotiation_offer_sent", "new_message"]).await;

    let mut heard = Vec::new();
    while let Ok(Some(event)) = timeout(Duration::from_millis(300), leaver_hears.recv()).await {
        heard.push(event);
    }
    let secret = ["user_typing", "messages_read", "new_message", "negotiation_offer_sent"];
    let leaked: Vec<_> = heard.iter().filter(|event| secret.iter().any(|name| event.is(name))).collect();
    assert!(leaked.is_empty(), "who has left heard {leaked:?}");
    drop(listener);

    // Whoever comes back is a member again.
    world
        .sql(&format!(
            "update stm.chat_members set left_at = null where chat_id = '{}' and user_id = {user}",
            scene.chat
        ))
        .await;
    join(&leaver, &scene.chat).await;
    ask(&writer, "send_message", json!({"chatId": scene.chat, "message": "Welcome back"})).await;
    hears(&mut leaver_hears, &["new_message"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_message_id_is_for_one_message() {
    let scene = Scene::booked().await;
    let (client, _events) = connect(&scene.world.server, &scene.customer).await;
    let say = async |text: &str, kind: &str| {
        let message = json!({"chatId": scene.chat, "message": text, "message_type": kind, "clientMessageId": "one"});
        client.ask("send_message", &message).await.expect("an answer")
    };
    let first = say("https://example.com/a.pdf", "text").await;
    assert!(first["seq"].is_i64(), "{first}");
    assert_eq!(say("https://example.com/a.pdf", "text").await, first, "the same again is acknowledged again");
    for (text, kind) in [("something else", "text"), ("https://example.com/a.pdf", "document")] {
        assert_eq!(say(text, kind).await["error"]["code"], "conflict", "{text} as {kind}");
    }
    // Both at once, so that they may meet in one batch.
    let send = |text: &str| {
        client.ask("send_message", &json!({"chatId": scene.chat, "message": text, "clientMessageId": "two"}))
    };
    let (left, right) = tokio::join!(send("left"), send("right"));
    let answers = [left.expect("an answer"), right.expect("an answer")];
    let stored = answers.iter().filter(|answer| answer["seq"].is_i64()).count();
    let refused = answers.iter().filter(|answer| answer["error"]["code"] == "conflict").count();
    assert_eq!((stored, refused), (1, 1), "{answers:?}");
    assert_eq!(scene.world.number(crate::support::CHATS_WITH_GAPS).await, 0);
}
