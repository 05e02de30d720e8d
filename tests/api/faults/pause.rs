//! PostgreSQL is away for a while: every sender gets an answer, every answer is true, and service resumes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::Row as _;
use testing::chats::{self, Chat};
use testing::server::{Server, environment};
use testing::socket_io::{Client, nowhere};
use testing::{PATIENCE, Stack};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::SERVE;

const SENDERS: usize = 20;
const SEND_EVERY: Duration = Duration::from_millis(100);
const AWAY: Duration = Duration::from_secs(10);

/// The server stores or refuses a send within 5 s; the rest is for a busy machine.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

/// A send, and what became of it.
struct Sent {
    sender: usize,
    name: String,
    at: Instant,
    answered_after: Duration,
    /// `None`: none came.
    answer: Option<Value>,
}

impl Sent {
    fn is_acked(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| answer["seq"].is_i64())
    }
}

/// Every send is answered in time: as stored, which it then is, or as to be sent again. When PostgreSQL is back,
/// messages are stored again without help.
#[tokio::test(flavor = "multi_thread")]
async fn pause_of_postgres_is_answered_and_survived() {
    let stack = Stack::up().await;
    let database = stack.database().await;
    let server = Server::start(SERVE, &environment(&database, &[]));
    let chats = chats::create(&mut database.session().await, SENDERS, 2).await;

    let stop = CancellationToken::new();
    let mut senders = JoinSet::new();
    for (number, chat) in chats.into_iter().enumerate() {
        senders.spawn(send(number, server.port, chat, stop.clone()));
    }
    sleep(Duration::from_secs(2)).await;
    stack.run("kill-postgres").await;
    let killed = Instant::now();
    sleep(AWAY).await;
    stack.run("up").await;
    let back = Instant::now();
    // Longer than an answer may take, so that whoever is not served again is found.
    sleep(ANSWER_TIMEOUT).await;
    stop.cancel();
    let sent: Vec<Sent> =
        timeout(PATIENCE, senders.join_all()).await.expect("the last answers").into_iter().flatten().collect();

    let slowest = sent.iter().map(|sent| sent.answered_after).max().expect("sends");
    let acked = sent.iter().filter(|sent| sent.is_acked()).count();
    println!(
        "{} sends: {acked} acknowledged, {} refused; the slowest answer took {slowest:?}",
        sent.len(),
        sent.len() - acked
    );
    for sent in sent.iter().filter(|sent| !sent.is_acked()) {
        let code = sent.answer.as_ref().map(|answer| &answer["error"]["code"]);
        let may_be_tried_again = code.is_some_and(|code| code == "unavailable" || code == "overloaded");
        assert!(may_be_tried_again, "{}: {:?} after {:?}", sent.name, sent.answer, sent.answered_after);
    }
    assert!(sent.iter().any(|sent| !sent.is_acked()), "PostgreSQL was away for {:?}", back - killed);

    // Of the sends after its return, the first acknowledgement of each sender.
    let served_again = (0..SENDERS).map(|sender| {
        let acked = sent.iter().filter(|sent| sent.sender == sender && sent.at > back && sent.is_acked());
        acked.map(|sent| sent.at + sent.answered_after - back).min().expect("a sender is served again")
    });
    let served_again: Vec<_> = served_again.collect();
    let (first, last) = (served_again.iter().min().expect("senders"), served_again.iter().max().expect("senders"));
    println!("acknowledged again {first:?} (the last sender: {last:?}) after PostgreSQL was back; the aim is 5 s");
    assert!(*last < Duration::from_secs(30), "the last sender is served again after {last:?}");

    let rows = sqlx::query(
        "select client_message_id, id::text, seq, count(*) over (partition by client_message_id) from stm.messages",
    )
    .fetch_all(&mut database.session().await)
    .await
    .expect("the messages");
    let stored: std::collections::HashMap<String, (String, i64)> =
        rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect();
    assert_eq!(stored.len(), rows.len(), "a clientMessageId is stored once");
    for sent in sent.iter().filter(|sent| sent.is_acked()) {
        let answer = sent.answer.as_ref().expect("an answer");
        let (id, seq) =
            stored.get(&sent.name).unwrap_or_else(|| panic!("{} was acknowledged and is not there", sent.name));
        assert_eq!((&answer["id"], &answer["seq"]), (&json!(id), &json!(seq)), "{}", sent.name);
    }
}

/// Sends in time with the clock, whether or not earlier sends are answered.
async fn send(number: usize, port: u16, chat: Chat, stop: CancellationToken) -> Vec<Sent> {
    let client = Client::connect(port, &chat.members[0].token, nowhere()).await.expect("a connection");
    let mut answers = JoinSet::new();
    let mut clock = interval(SEND_EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 0.. {
        tokio::select! {
            _ = clock.tick() => {}
            () = stop.cancelled() => break,
        }
        let name = format!("{number}-{n}");
        let asked = client.ask("send_message", &json!({"chatId": chat.id, "message": name, "clientMessageId": name}));
        answers.spawn(async move {
            let at = Instant::now();
            let answer = timeout(ANSWER_TIMEOUT, asked).await.ok().and_then(Result::ok);
            Sent { sender: number, name, at, answered_after: at.elapsed(), answer }
        });
    }
    answers.join_all().await
}
