//! Long-lived tasks fail: it is seen, and they come back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use doors::url::{ConnectionString, Secret};
use doors::{Direct, DirectSettings};
use secrecy::SecretString;
use serde_json::json;
use stm_backend::chat::MessageType;
use stm_backend::chat::live::insert_messages::NewMessage;
use stm_backend::chat::live::{Acknowledge, Outgoing, Rooms, Writer};
use stm_backend::config::{DIRECT_SESSION, Heartbeat};
use stm_backend::files::FileUrls;
use stm_backend::realtime::{Bulkhead, Connections, Refusal};
use stm_backend::supervision::{Health, Tasks};
use stm_backend::types::{ChatId, MessageId, UserId};
use testing::chats::{self, Chat};
use testing::world::World;
use testing::{PATIENCE, execute};
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use crate::support::{SERVE, connect};

/// The connection that follows changes is ended whenever it is there: `/readyz` names the task. Left alone, it follows
/// again, and a ban is heard.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_down_is_named_and_comes_back() {
    let world = World::start(SERVE).await;
    let customer = world.customer().await;
    let (client, mut events) = connect(&world.server, &customer).await;
    let mut session = world.database.session().await;

    let started = Instant::now();
    let seen = loop {
        let end = "select pg_terminate_backend(pid) from pg_stat_activity
                   where datname = current_database() and query ilike 'listen%'";
        execute(&mut session, end).await;
        let ready = world.get("/readyz").await;
        if ready.status == 503 && ready.body["direct"] == "ok" {
            break ready.body;
        }
        assert!(started.elapsed() < PATIENCE, "{}", ready.body);
    };
    assert_eq!((&seen["status"], &seen["down"]), (&json!("degraded"), &json!(["changes"])), "{seen}");
    assert!(seen["restarts"].as_u64() >= Some(1), "{seen}");

    while world.get("/readyz").await.status != 200 {
        assert!(started.elapsed() < 2 * PATIENCE, "it stays down");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.sql(&format!("update stm.users set banned_at = now() where id = {}", customer.id)).await;
    loop {
        let event = tokio::time::timeout(PATIENCE, events.recv()).await.expect("the ban is heard");
        if event.is_none_or(|event| event.is("error")) {
            break;
        }
    }
    drop(client);
}

/// A writer that panics is down for a moment: its chats' messages are refused at once, and none is acknowledged that is
/// not stored. Then it writes again.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_fails_refuses_messages_until_it_writes_again() {
    let world = World::start(SERVE).await;
    let chat = chats::create(&mut world.database.session().await, 1, 2).await.remove(0);
    let url = ConnectionString::parse(Secret::DirectUrl, &world.database.direct_url()).expect("a URL");
    let settings = DirectSettings { session: &DIRECT_SESSION, ..DirectSettings::default() };
    let direct = Direct::new(&url, &settings).expect("a door");
    let (health, bulkhead) = (Health::default(), Bulkhead::new(direct.clone(), 3));
    let heartbeat = Heartbeat { interval: Duration::from_secs(25), timeout: Duration::from_secs(20) };
    let rooms = Rooms::new(bulkhead.clone(), FileUrls::new(&SecretString::from(""), "").expect("a key"), heartbeat);
    let tasks = Tasks::new(&health);
    let writer = Writer::start(&tasks, &direct, &bulkhead, &rooms, &Connections::default(), &Arc::new(Notify::new()));

    let started = Instant::now();
    loop {
        writer.send(outgoing(&chat, Box::new(|_| panic!("the fault"))));
        while health.down().is_empty() {
            assert!(started.elapsed() < PATIENCE, "the writer is not down");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(health.down()[0].starts_with("message writer "), "{:?}", health.down());
        // It may be back by now, on a busy machine.
        match send(&writer, &chat).await {
            Err(refusal) => break assert!(matches!(refusal, Refusal::Unavailable), "{refusal}"),
            Ok(_) => assert!(started.elapsed() < PATIENCE, "nothing is refused"),
        }
    }
    let seq = loop {
        match send(&writer, &chat).await {
            Ok(seq) => break seq,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
        assert!(started.elapsed() < 2 * PATIENCE, "it stays down");
    };
    assert!(health.down().is_empty() && health.restarts() >= 1);
    let stored = format!("select count(*) from stm.messages where chat_id = '{}'", chat.id);
    assert_eq!(world.number(&stored).await, seq, "only what is stored has a number");
    tasks.finish().await;
    assert!(matches!(send(&writer, &chat).await, Err(Refusal::Unavailable)));
}

fn outgoing(chat: &Chat, acknowledge: Acknowledge) -> Outgoing {
    let message = NewMessage {
        id: MessageId(Uuid::now_v7()),
        chat_id: ChatId(chat.id.parse().expect("an id")),
        sender_id: UserId(chat.members[0].id),
        client_message_id: None,
        message: "Hello!".into(),
        message_type: MessageType::Text,
    };
    Outgoing { message, sender: None, sending: None, acknowledge, received_at: tokio::time::Instant::now() }
}

/// Sends a message. Returns its `seq` once it is acknowledged.
async fn send(writer: &Writer, chat: &Chat) -> Result<i64, Refusal> {
    let (answered, answer) = oneshot::channel();
    writer.send(outgoing(chat, Box::new(move |result| drop(answered.send(result.map(|ack| ack.seq))))));
    answer.await.expect("an answer")
}
