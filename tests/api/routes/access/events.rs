//! The same for the events that clients send.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testing::socket_io::{Client, Failure, nowhere};

use super::callers::{Caller, Callers};

/// What an event of a stranger is answered with.
const NOT_A_MEMBER: &str = "forbidden";
const NO_SUCH_JOB: &str = "not_found";

/// Written by the mere presence of a socket.
const OF_SOCKETS: [&str; 1] = ["presence"];

/// The events about the job and its chat, in an order that lets the parties send them all.
fn events(callers: &Callers) -> [(&'static str, Value, &'static str); 7] {
    let (chat, job) = (&callers.chat, callers.job);
    [
        ("join_chat", json!({"chatId": chat}), NOT_A_MEMBER),
        ("send_message", json!({"chatId": chat, "message": "Hello"}), NOT_A_MEMBER),
        ("typing", json!({"chatId": chat, "isTyping": true}), NOT_A_MEMBER),
        ("mark_read", json!({"chatId": chat}), NOT_A_MEMBER),
        ("send_negotiation_offer", json!({"jobId": job, "proposedPrice": 100}), NO_SUCH_JOB),
        ("respond_to_negotiation", json!({"jobId": job, "action": "accept"}), NO_SUCH_JOB),
        ("leave_chat", json!({"chatId": chat}), NOT_A_MEMBER),
    ]
}

/// About the caller alone.
const AUTHENTICATE: &str = "authenticate";

async fn connect(callers: &Callers, caller: Caller) -> Result<Client, Failure> {
    Client::connect(callers.scene.world.server.port, callers.token(caller).unwrap_or_default(), nowhere()).await
}

async fn code(client: &Client, event: &str, payload: &Value) -> Option<String> {
    let answer = client.ask(event, payload).await.expect("an answer");
    answer["error"]["code"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn every_event_has_a_row_and_every_row_holds_for_every_caller() {
    let callers = Callers::start().await;
    let document = callers.scene.world.get("/asyncapi.json").await.expect(200);
    let operations = document["operations"].as_object().expect("operations");
    let documented: BTreeSet<_> = operations
        .iter()
        .filter(|(_, operation)| operation["action"] == "receive")
        .map(|(event, _)| event.as_str())
        .collect();
    let events = events(&callers);
    let in_table: BTreeSet<_> = events.iter().map(|(event, ..)| *event).chain([AUTHENTICATE]).collect();
    assert_eq!(documented, in_table);

    let before = callers.rows(&OF_SOCKETS).await;
    let (mut parties, mut strangers) = (Vec::new(), Vec::new());
    for caller in Caller::ALL {
        match (connect(&callers, caller).await, caller) {
            (Err(Failure::Refused(words)), _) if !caller.is_known() => {
                assert!(words.starts_with("unauthorized"), "{caller:?}: {words}");
            }
            (Ok(client), Caller::Customer | Caller::Provider) => parties.push((caller, client)),
            (Ok(client), _) if caller.is_known() => strangers.push((caller, client)),
            (connected, _) => panic!("{caller:?}: {:?}", connected.err()),
        }
    }
    for (caller, client) in &strangers {
        for (event, payload, expected) in &events {
            assert_eq!(code(client, event, payload).await.as_deref(), Some(*expected), "{event} by {caller:?}");
        }
    }
    for (caller, client) in parties.iter().chain(&strangers) {
        for other in Caller::ALL {
            let token = json!({"token": callers.token(other).unwrap_or_default()});
            let expected = (other != *caller).then_some("unauthorized");
            assert_eq!(code(client, AUTHENTICATE, &token).await.as_deref(), expected, "{caller:?} as {other:?}");
        }
    }
    assert_eq!(callers.rows(&OF_SOCKETS).await, before, "a refused event has changed something");

    for (caller, client) in &parties {
        for (event, payload, refusal) in &events {
            let code = code(client, event, payload).await;
            assert_ne!(code.as_deref(), Some(*refusal), "{event} by {caller:?}");
        }
    }
    assert_ne!(callers.rows(&OF_SOCKETS).await, before, "the control: what the parties send is stored");
}
