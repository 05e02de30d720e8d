//! A reader whose connection stands still, in a room with many messages.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::json;
use testing::chats::{self, Chat};
use testing::reader::Reader;
use testing::server::{Server, environment};
use testing::socket_io::{Client, Event, nowhere};
use testing::{Database, PATIENCE};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::SERVE;

/// How many messages each of the two others sends.
const MESSAGES_EACH: usize = 1500;
const MESSAGE_BYTES: usize = 1000;

/// So little that the server cannot write to a stalled reader for long.
const RECEIVE_BUFFER_BYTES: u32 = 4096;

/// How much the server may grow by.
const MAX_GROWTH_KIB: u64 = 64 * 1024;

/// A room of three, one of whom has joined and then reads no more.
struct Room {
    server: Server,
    _database: Database,
    chat: Chat,
    stalled: Client,
}

impl Room {
    async fn open() -> Self {
        Self::open_with(&[("PING_INTERVAL_S", "2"), ("PING_TIMEOUT_S", "2")]).await
    }

    async fn open_with(more: &[(&str, &str)]) -> Self {
        let database = Database::create().await;
        let server = Server::start(SERVE, &environment(&database, more));
        let chat = chats::create(&mut database.session().await, 1, 3).await.remove(0);
        let token = &chat.members[2].token;
        let stalled = Client::connect_with(server.port, token, nowhere(), Some(RECEIVE_BUFFER_BYTES))
            .await
            .expect("a connection");
        join(&stalled, &chat).await;
        stalled.stall().await;
        Self { server, _database: database, chat, stalled }
    }

    /// The others talk to each other; each receives all, in order.
    async fn talk(&self) {
        let (first, second) = tokio::join!(self.member(0), self.member(1));
        let (first, second) = tokio::join!(converse(first, &self.chat), converse(second, &self.chat));
        assert_eq!((&first.received, &second.received), (&second.sent, &first.sent), "all, in order");
        let mut all = [first.sent, second.sent].concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(1..=2 * MESSAGES_EACH as u64), "seq without a gap");
    }

    async fn member(&self, index: usize) -> (Client, mpsc::Receiver<Event>) {
        let (events, incoming) = mpsc::channel(64);
        let token = &self.chat.members[index].token;
        let client = Client::connect(self.server.port, token, events).await.expect("a connection");
        join(&client, &self.chat).await;
        (client, incoming)
    }

    fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server.pid())).expect("/proc");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Whether the server has an established TCP connection to the stalled reader.
    fn is_held(&self) -> bool {
        let table = std::fs::read_to_string(format!("/proc/{}/net/tcp", self.server.pid())).expect("/proc");
        let (here, there) = (format!(":{:04X}", self.server.port), format!(":{:04X}", self.stalled.local_port));
        table.lines().any(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let (Some(local), Some(remote), Some(state)) = (fields.next(), fields.next(), fields.next()) else {
                return false;
            };
            local.ends_with(&here) && remote.ends_with(&there) && state == "01"
        })
    }
}

/// The `seq`s that a member has sent and received.
struct Talk {
    sent: Vec<u64>,
    received: Vec<u64>,
}

async fn join(client: &Client, chat: &Chat) {
    let joined = client.ask("join_chat", &json!({"chatId": chat.id, "afterSeq": 0})).await.expect("an answer");
    assert_eq!(joined["chatId"], json!(chat.id), "{joined}");
}

async fn converse((client, mut incoming): (Client, mpsc::Receiver<Event>), chat: &Chat) -> Talk {
    let text = "x".repeat(MESSAGE_BYTES);
    let speaking = async {
        let asked =
            (0..MESSAGES_EACH).map(|_| client.ask("send_message", &json!({"chatId": chat.id, "message": text})));
        let acks = futures_util::stream::iter(asked).buffered(16);
        acks.map(|ack| ack.expect("an answer")["seq"].as_u64().expect("a seq")).collect().await
    };
    let listening = async {
        let mut received = Vec::new();
        while received.len() < MESSAGES_EACH {
            let event = timeout(PATIENCE, incoming.recv()).await.expect("a message in time").expect("a connection");
            if event.is("new_message") {
                received.push(event.payload()["seq"].as_u64().expect("a seq"));
            }
        }
        received
    };
    let (sent, received) = tokio::join!(speaking, listening);
    Talk { sent, received }
}

/// The others receive everything, the server keeps little for the stalled reader, and it receives all when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn stalled_reader_harms_nobody_and_catches_up() {
    let room = Room::open().await;
    let before = room.resident_kib();
    let started = Instant::now();
    room.talk().await;
    let after = room.resident_kib();
    println!(
        "{} messages in {:?}; the server had {before} KiB, and has {after} KiB",
        2 * MESSAGES_EACH,
        started.elapsed()
    );
    assert!(after < before + MAX_GROWTH_KIB, "the server grew from {before} to {after} KiB");

    let Room { server, _database, chat, stalled } = room;
    drop(stalled);
    let mut reader = Reader::new(server.port, &chat.members[2].token, &chat.id);
    let all = CancellationToken::new();
    all.cancel();
    timeout(PATIENCE, reader.read_until(&all)).await.expect("all of it in time");
    assert_eq!((reader.history.len(), &reader.faults), (2 * MESSAGES_EACH, &Vec::new()));
    assert!(reader.repeats.is_empty(), "{:?}", reader.repeats);
}

/// The server closes the stalled reader's connection.
#[tokio::test(flavor = "multi_thread")]
async fn stalled_reader_is_let_go() {
    let room = Room::open().await;
    assert!(room.is_held(), "its connection is not in the table");
    room.talk().await;
    let started = Instant::now();
    while room.is_held() {
        assert!(started.elapsed() < PATIENCE, "its connection is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("let go {:?} after the last message", started.elapsed());
}

/// The server drains although a connection stands still: it does not wait long for the stalled reader.
#[tokio::test(flavor = "multi_thread")]
async fn stalled_reader_does_not_hold_the_server_up() {
    let mut room = Room::open_with(&[]).await;
    room.talk().await;
    assert!(room.is_held(), "its connection is gone before the server ends");
    let terminated = std::process::Command::new("kill").arg(room.server.pid().to_string()).status().expect("kill");
    assert!(terminated.success(), "{terminated}");
    let started = Instant::now();
    let status = tokio::task::block_in_place(|| room.server.wait());
    println!("ended {:?} after SIGTERM", started.elapsed());
    assert_eq!(status.code(), Some(0), "{}", room.server.output());
    assert!(room.server.output().contains("stopped"), "{}", room.server.output());
}
