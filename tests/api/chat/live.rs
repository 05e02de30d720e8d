//! Live chat as clients see it: every event, what a reconnect brings, and how sockets end.

use std::time::Duration;

use serde_json::{Value, json};
use testing::PATIENCE;
use testing::chats;
use testing::server::{Server, environment};
use testing::socket_io::Client;
use testing::token::access_token;
use testing::world::{PASSWORD, World};
use tokio::sync::mpsc;

use crate::support::{SERVE, Scene, ask, connect, join, next_seqs, passes, who};

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/asyncapi.json");

/// The committed document is what the events declare: its diff is the review of the chat's API.
/// `make openapi` writes it anew.
#[test]
fn docs_snapshot_of_the_events() {
    let now = format!("{:#}\n", stm_backend::sockets::asyncapi::document());
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(SNAPSHOT, &now).expect("asyncapi.json");
    }
    let committed = std::fs::read_to_string(SNAPSHOT).expect("asyncapi.json");
    assert!(
        committed == now,
        "asyncapi.json differs from what the events declare: run `make openapi`, and read the diff"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_as_documented() {
    let scene = Scene::booked().await;
    let mut arguments = scene.parties();
    let lsm = scene.world.lsm().await;
    arguments["lsm"] = who(&lsm);
    // It expires within the notice, but not before it is used.
    let token = access_token(lsm.id, &lsm.email, "local_service_manager", Duration::from_secs(110));
    arguments["expiring"] = json!({"token": token});
    passes(&scene.world, "events.mjs", arguments).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_receives_what_it_missed() {
    let scene = Scene::booked().await;
    for transport in ["websocket", "polling"] {
        let mut arguments = scene.parties();
        arguments["transport"] = json!(transport);
        passes(&scene.world, "resume.mjs", arguments).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_is_shown_to_those_who_share_a_chat() {
    let scene = Scene::booked().await;
    let mut arguments = scene.parties();
    arguments["stranger"] = who(&scene.world.customer().await);
    passes(&scene.world, "presence.mjs", arguments).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_end_with_their_token() {
    let scene = Scene::booked().await;
    let (customer, provider) = (&scene.customer, &scene.provider.user);
    let banned = scene.world.customer().await;
    // Time enough to log in and connect, on a busy machine too.
    let short = access_token(provider.id, &provider.email, "service_provider", Duration::from_secs(10));
    let arguments = json!({
        "login": {"email": customer.email, "password": PASSWORD}, "other": who(provider), "short": {"token": short},
        "banned": who(&banned), "chatId": scene.chat,
    });
    passes(&scene.world, "ends.mjs", arguments).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_and_nonsense_harm_nobody_else() {
    let scene = Scene::booked().await;
    let (neighbour, plumber) = (scene.world.customer().await, scene.world.provider("Plumbing").await);
    let other_chat = scene.world.book(&neighbour, &plumber).await["chat"]["id"].clone();
    let arguments = json!({
        "flooder": who(&scene.customer), "neighbour": who(&neighbour), "chatId": scene.chat, "otherChatId": other_chat,
    });
    passes(&scene.world, "floods.mjs", arguments).await;
}

/// The process that remembers who was there may be killed, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_there_when_the_process_was_killed_receives_what_it_missed() {
    let mut scene = Scene::booked().await;
    let chat = scene.chat.clone();
    let say =
        async |client: &Client, text: &str| ask(client, "send_message", json!({"chatId": chat, "message": text})).await;
    {
        let [(_customers, mut received), (providers, _)] = scene.connect().await;
        say(&providers, "before").await;
        assert_eq!(next_seqs(&mut received, 1).await, [2]);
        let recorded = format!(
            "select count(*) from stm.chat_members where user_id = {} and dropped_at = 'infinity' and delivered_seq = 2",
            scene.customer.id
        );
        let started = std::time::Instant::now();
        while scene.world.number(&recorded).await == 0 {
            assert!(started.elapsed() < PATIENCE, "it is not recorded who is there");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    scene.world.server.kill();
    scene.world.server = Server::start(SERVE, &environment(&scene.world.database, &[]));
    let (providers, _) = connect(&scene.world.server, &scene.provider.user).await;
    for text in ["while away", "and again"] {
        say(&providers, text).await;
    }
    let (customers, mut received) = connect(&scene.world.server, &scene.customer).await;
    join(&customers, &chat).await;
    say(&providers, "after").await;
    assert_eq!(next_seqs(&mut received, 3).await, [3, 4, 5]);
}

/// A message that the writer did not deliver itself, because it was stored elsewhere or its outcome was unknown,
/// reaches those who are there with the next one, in order.
#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_filled_from_the_database() {
    let scene = Scene::booked().await;
    let chat = &scene.chat;
    let [(customers, mut received), (providers, mut own)] = scene.connect().await;
    scene
        .world
        .sql(&format!(
            "insert into stm.messages (chat_id, seq, sender_id, sender_type, message)
             select id, last_seq + n, {}, 'customer', 'elsewhere' from stm.chats, generate_series(1, 450) n;
             update stm.chats set last_seq = last_seq + 450;",
            scene.customer.id
        ))
        .await;
    let ack = ask(&providers, "send_message", json!({"chatId": chat, "message": "here"})).await;
    assert_eq!(ack["seq"], 452);
    assert_eq!(next_seqs(&mut received, 451).await, (2..=452).collect::<Vec<_>>());
    assert_eq!(next_seqs(&mut own, 450).await, (2..=451).collect::<Vec<_>>());
    ask(&customers, "send_message", json!({"chatId": chat, "message": "there"})).await;
    assert_eq!(next_seqs(&mut own, 1).await, [453], "all but its own");
}

/// Members who dropped out at different points come back at once, without a cursor, each joining twice. Each receives
/// exactly what it lacks while the chat goes on.
#[tokio::test(flavor = "multi_thread")]
async fn many_who_come_back_at_once_receive_what_they_missed() {
    const MEMBERS: usize = 8;
    const HISTORY: i64 = 700;
    let world = World::start(SERVE).await;
    let chat = chats::create(&mut world.database.session().await, 1, MEMBERS + 1).await.remove(0);
    let missed_from = |number: usize| i64::try_from(number * 83).expect("a number");
    world
        .sql(&format!(
            "insert into stm.messages (chat_id, seq, sender_id, sender_type, message)
             select '{}', n, {}, 'customer', 'message ' || n from generate_series(1, {HISTORY}) n;
             update stm.chats set last_seq = {HISTORY};",
            chat.id, chat.members[MEMBERS].id
        ))
        .await;
    for (number, member) in chat.members[..MEMBERS].iter().enumerate() {
        world
            .sql(&format!(
                "update stm.chat_members set dropped_at = now(), delivered_seq = {} where user_id = {}",
                missed_from(number),
                member.id
            ))
            .await;
    }
    let (events, _) = mpsc::channel(64);
    let sender = Client::connect(world.server.port, &chat.members[MEMBERS].token, events).await.expect("a connection");
    let join = json!({"chatId": chat.id});
    let fed = chat.members[..MEMBERS].iter().enumerate().map(async |(number, member)| {
        let (events, mut incoming) = mpsc::channel(64);
        let client = Client::connect(world.server.port, &member.token, events).await.expect("a connection");
        let expected = missed_from(number) + 1..=HISTORY + 50;
        let joining = futures_util::future::join_all([(); 2].map(|()| client.ask("join_chat", &join)));
        let (joined, seqs) = tokio::join!(joining, next_seqs(&mut incoming, expected.clone().count()));
        assert!(seqs.iter().copied().eq(expected), "member {number}: {seqs:?}");
        for joined in joined {
            assert_eq!(joined.expect("an answer")["error"], Value::Null, "member {number}");
        }
    });
    let talking = async {
        for number in 0..50 {
            ask(&sender, "send_message", json!({"chatId": chat.id, "message": number.to_string()})).await;
        }
    };
    tokio::join!(futures_util::future::join_all(fed), talking);
}

/// While a client reads a long history page by page, nothing is emitted to it; then everything that follows.
#[tokio::test(flavor = "multi_thread")]
async fn catching_up_in_pages_neither_skips_nor_repeats() {
    let scene = Scene::booked().await;
    let chat = &scene.chat;
    scene
        .world
        .sql(&format!(
            "insert into stm.messages (chat_id, seq, sender_id, sender_type, message)
             select id, last_seq + n, {}, 'customer', repeat('é', 4000) from stm.chats, generate_series(1, 450) n;
             update stm.chats set last_seq = last_seq + 450;",
            scene.customer.id
        ))
        .await;
    let (customers, mut received) = connect(&scene.world.server, &scene.customer).await;
    let (providers, _) = connect(&scene.world.server, &scene.provider.user).await;
    let mut history = Vec::new();
    loop {
        let after = history.last().copied().unwrap_or(0);
        let joined = ask(&customers, "join_chat", json!({"chatId": chat, "afterSeq": after})).await;
        let page = joined["messages"].as_array().expect("messages");
        assert!((1..=200).contains(&page.len()), "a page of {}", page.len());
        history.extend(page.iter().map(|message| message["seq"].as_i64().expect("seq")));
        if joined["hasMore"] == false {
            break;
        }
        ask(&providers, "send_message", json!({"chatId": chat, "message": "in the meantime"})).await;
        // A join that is refused does not end the reading.
        let refused = customers.ask("join_chat", &json!({"chatId": chat, "afterSeq": -1})).await.expect("an answer");
        assert_eq!(refused["error"]["code"], "invalid");
    }
    ask(&providers, "send_message", json!({"chatId": chat, "message": "after"})).await;
    history.extend(next_seqs(&mut received, 1).await);
    assert_eq!(history, (1..=i64::try_from(history.len()).expect("a number")).collect::<Vec<_>>());
}
