//! Live chat as clients see it: every event, what a reconnect brings, and how sockets end.

use std::time::Duration;

use serde_json::{Value, json};
use stm_backend::auth::AccessTokens;
use stm_backend::types::{Role, UserId};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::chats;
use crate::harness::{JWT_SECRET, PASSWORD, PATIENCE, Server, User, World, environment};
use crate::socket_io::{Client, Event};

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

/// A customer and a provider with a chat.
async fn pair(world: &World) -> (User, User, Value) {
    let (customer, provider) = (world.customer().await, world.provider("Plumbing").await);
    let chat = world.book(&customer, &provider).await["chat"]["id"].clone();
    (customer, provider.user, chat)
}

fn who(user: &User) -> Value {
    json!({"id": user.id, "token": user.token})
}

async fn passes(world: &World, script: &str, arguments: Value) {
    let report = world.client(script, &arguments).await;
    assert_eq!(report["ok"], true, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_as_documented() {
    let world = World::start().await;
    let (customer, provider, chat) = pair(&world).await;
    let lsm = world.lsm().await;
    let arguments = json!({"customer": who(&customer), "provider": who(&provider), "lsm": who(&lsm), "chatId": chat});
    passes(&world, "events.mjs", arguments).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_drops_out_is_given_what_was_missed() {
    let world = World::start().await;
    let (customer, provider, chat) = pair(&world).await;
    for transport in ["websocket", "polling"] {
        let arguments =
            json!({"customer": who(&customer), "provider": who(&provider), "chatId": chat, "transport": transport});
        passes(&world, "resume.mjs", arguments).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_is_told_to_those_who_share_a_chat() {
    let world = World::start().await;
    let (customer, provider, _) = pair(&world).await;
    let stranger = world.customer().await;
    let arguments = json!({"customer": who(&customer), "provider": who(&provider), "stranger": who(&stranger)});
    passes(&world, "presence.mjs", arguments).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_end_with_their_token() {
    let world = World::start().await;
    let (customer, provider, chat) = pair(&world).await;
    let banned = world.customer().await;
    // Time enough to log in and connect, on a busy machine too.
    let tokens = AccessTokens::new(&JWT_SECRET.into(), Duration::from_secs(10));
    let short = tokens
        .issue(UserId(provider.id), "x@example.com".into(), Role::ServiceProvider, None, chrono::Utc::now())
        .expect("a token");
    let arguments = json!({
        "login": {"email": customer.email, "password": PASSWORD}, "other": who(&provider), "short": {"token": short},
        "banned": who(&banned), "chatId": chat,
    });
    passes(&world, "ends.mjs", arguments).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_and_nonsense_harm_nobody_else() {
    let world = World::start().await;
    let (flooder, _, chat) = pair(&world).await;
    let (neighbour, _, other_chat) = pair(&world).await;
    let arguments =
        json!({"flooder": who(&flooder), "neighbour": who(&neighbour), "chatId": chat, "otherChatId": other_chat});
    passes(&world, "floods.mjs", arguments).await;
}

async fn connect(server: &Server, user: &User) -> (Client, mpsc::Receiver<Event>) {
    let (events, incoming) = mpsc::channel(64);
    (Client::connect(server.port, &user.token, events).await.expect("a connection"), incoming)
}

async fn ask(client: &Client, event: &str, payload: Value) -> Value {
    let answer = client.ask(event, &payload).await.expect("an answer");
    assert!(answer["error"].is_null(), "{event}: {answer}");
    answer
}

/// The `seq` of the next new messages.
async fn next_seqs(incoming: &mut mpsc::Receiver<Event>, count: usize) -> Vec<i64> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        let event = timeout(PATIENCE, incoming.recv()).await.expect("in time").expect("an event");
        if event.is("new_message") {
            seqs.push(event.payload()["seq"].as_i64().expect("seq"));
        }
    }
    seqs
}

/// The process that remembers who was there may be killed, too.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_there_when_the_process_was_killed_is_given_what_was_missed() {
    let world = World::start().await;
    let (customer, provider, chat) = pair(&world).await;
    let say =
        async |client: &Client, text: &str| ask(client, "send_message", json!({"chatId": chat, "message": text})).await;
    {
        let (customers, mut heard) = connect(&world.server, &customer).await;
        let (providers, _) = connect(&world.server, &provider).await;
        for client in [&customers, &providers] {
            ask(client, "join_chat", json!({"chatId": chat})).await;
        }
        say(&providers, "before").await;
        assert_eq!(next_seqs(&mut heard, 1).await, [2]);
        let recorded = format!(
            "select count(*) from stm.chat_members where user_id = {} and dropped_at = 'infinity' and delivered_seq = 2",
            customer.id
        );
        let started = std::time::Instant::now();
        while world.number(&recorded).await == 0 {
            assert!(started.elapsed() < PATIENCE, "it is recorded who is there");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let World { server, database, .. } = world;
    drop(server); // SIGKILL
    let server = Server::start(&environment(&database, &[]));
    let (providers, _) = connect(&server, &provider).await;
    for text in ["while away", "and again"] {
        say(&providers, text).await;
    }
    let (customers, mut heard) = connect(&server, &customer).await;
    ask(&customers, "join_chat", json!({"chatId": chat})).await;
    say(&providers, "after").await;
    assert_eq!(next_seqs(&mut heard, 3).await, [3, 4, 5]);
}

/// A message that the writer did not deliver itself, because it was stored elsewhere or its outcome was unknown,
/// reaches those who are there with the next one, in order.
#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_filled_from_the_database() {
    let world = World::start().await;
    let (customer, provider, chat) = pair(&world).await;
    let (customers, mut heard) = connect(&world.server, &customer).await;
    let (providers, mut own) = connect(&world.server, &provider).await;
    for client in [&customers, &providers] {
        ask(client, "join_chat", json!({"chatId": chat})).await;
    }
    world
        .sql(&format!(
            "insert into stm.messages (chat_id, seq, sender_id, sender_type, message)
             select id, last_seq + n, {}, 'customer', 'elsewhere' from stm.chats, generate_series(1, 450) n;
             update stm.chats set last_seq = last_seq + 450;",
            customer.id
        ))
        .await;
    let ack = ask(&providers, "send_message", json!({"chatId": chat, "message": "here"})).await;
    assert_eq!(ack["seq"], 452);
    assert_eq!(next_seqs(&mut heard, 451).await, (2..=452).collect::<Vec<_>>());
    assert_eq!(next_seqs(&mut own, 450).await, (2..=451).collect::<Vec<_>>());
    ask(&customers, "send_message", json!({"chatId": chat, "message": "there"})).await;
    assert_eq!(next_seqs(&mut own, 1).await, [453], "all but its own");
}

/// Members who dropped out at different points come back at once, without a cursor, some asking twice: each is given
/// exactly what it lacks, while the chat goes on.
#[tokio::test(flavor = "multi_thread")]
async fn many_who_dropped_out_are_fed_side_by_side() {
    const MEMBERS: usize = 8;
    const HISTORY: i64 = 700;
    let world = World::start().await;
    let chat = chats::create(&mut world.database.session().await, JWT_SECRET, 1, MEMBERS + 1).await.remove(0);
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
            assert!(joined.expect("an answer")["error"].is_null());
        }
    });
    let talking = async {
        for number in 0..50 {
            ask(&sender, "send_message", json!({"chatId": chat.id, "message": number.to_string()})).await;
        }
    };
    tokio::join!(futures_util::future::join_all(fed), talking);
}

/// While a client reads its way through a long history, it is given nothing; then everything that follows.
#[tokio::test(flavor = "multi_thread")]
async fn catching_up_in_pages_neither_skips_nor_repeats() {
    let world = World::start().await;
    let (customer, provider, chat) = pair(&world).await;
    world
        .sql(&format!(
            "insert into stm.messages (chat_id, seq, sender_id, sender_type, message)
             select id, last_seq + n, {}, 'customer', repeat('é', 4000) from stm.chats, generate_series(1, 450) n;
             update stm.chats set last_seq = last_seq + 450;",
            customer.id
        ))
        .await;
    let (customers, mut heard) = connect(&world.server, &customer).await;
    let (providers, _) = connect(&world.server, &provider).await;
    let mut history = Vec::new();
    loop {
        let after = history.last().copied().unwrap_or(0);
        let joined = ask(&customers, "join_chat", json!({"chatId": chat, "afterSeq": after})).await;
        let page = joined["messages"].as_array().expect("messages");
        assert!((1..=200).contains(&page.len()), "{}", page.len());
        history.extend(page.iter().map(|message| message["seq"].as_i64().expect("seq")));
        if joined["hasMore"] == false {
            break;
        }
        ask(&providers, "send_message", json!({"chatId": chat, "message": "meanwhile"})).await;
        // A join that is refused does not end the reading.
        let refused = customers.ask("join_chat", &json!({"chatId": chat, "afterSeq": -1})).await.expect("an answer");
        assert_eq!(refused["error"]["code"], "invalid");
    }
    ask(&providers, "send_message", json!({"chatId": chat, "message": "after"})).await;
    history.extend(next_seqs(&mut heard, 1).await);
    assert_eq!(history, (1..=i64::try_from(history.len()).expect("a number")).collect::<Vec<_>>());
}
