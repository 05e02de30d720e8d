//! People who chat: sockets that join, and senders who each wait for an acknowledgement before they send again.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::{self, FuturesUnordered};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::PATIENCE;
use crate::chats::Chat;
use crate::socket_io::{Client, Event, nowhere};
use crate::usage::cpu_us;

/// How many senders share a chat; all of them are in its room.
pub const SENDERS_PER_CHAT: usize = 4;

pub const MESSAGE: &str = "On my way: I have the parts, and should be there in about twenty minutes.";

/// A server that listens on this machine.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    pub port: u16,
    pub pid: u32,
}

/// What so many senders reached.
pub struct Sends {
    pub per_s: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Processor time of the server for each message.
    pub cpu_us: f64,
}

/// The payload of a message.
pub fn message(chat: &Chat, name: &str) -> Value {
    json!({"chatId": chat.id, "message": MESSAGE, "clientMessageId": name})
}

pub fn assert_acked(ack: &Value) {
    assert!(ack["seq"].is_i64(), "a message was not stored: {ack}");
}

/// A socket of each of so many of the chat's members in turn, all of them in its room, and without messages missed.
pub async fn join(server: Target, chat: &Chat, sockets: usize, events: &mpsc::Sender<Event>) -> Vec<Client> {
    let joining = (0..sockets).map(|number| {
        let member = &chat.members[number % chat.members.len()];
        async move {
            let client = Client::connect(server.port, &member.token, events.clone()).await.expect("a connection");
            let joined = timeout(PATIENCE, client.ask("join_chat", &json!({"chatId": chat.id, "afterSeq": 0}))).await;
            let joined = joined.expect("in time").expect("an answer");
            assert_eq!(joined["hasMore"], false, "{joined}");
            client
        }
    });
    stream::iter(joining).buffer_unordered(64).collect().await
}

/// Sends for a while into chats that are still empty, [`SENDERS_PER_CHAT`] senders in each.
#[expect(clippy::cast_precision_loss, reason = "figures are printed with three digits")]
pub async fn send_for(server: Target, chats: &[Chat], senders: usize, round: Duration) -> Sends {
    let mut clients = Vec::new();
    for chat in chats {
        let sockets = SENDERS_PER_CHAT.min(senders - clients.len());
        clients.extend(join(server, chat, sockets, &nowhere()).await.into_iter().map(|client| (client, chat)));
    }
    let warm = Instant::now() + round / 4;
    let end = warm + round;
    let sending: FuturesUnordered<_> =
        clients.iter().enumerate().map(|(number, (client, chat))| send(client, chat, number, warm, end)).collect();
    let cpu_us = async {
        sleep(warm - Instant::now()).await;
        let before = cpu_us(server.pid);
        sleep(end - Instant::now()).await;
        cpu_us(server.pid) - before
    };
    let (latencies, cpu_us) = tokio::join!(sending.collect::<Vec<_>>(), cpu_us);
    let mut latencies = latencies.concat();
    latencies.sort_unstable();
    assert!(!latencies.is_empty(), "{senders} senders: no message in {round:?}");
    let percentile = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    Sends {
        per_s: latencies.len() as f64 / round.as_secs_f64(),
        p50_ms: percentile(50),
        p99_ms: percentile(99),
        cpu_us: cpu_us / latencies.len() as f64,
    }
}

/// Sends one message after the other. Returns the latencies of those that were both sent and acknowledged while all were
/// at it.
async fn send(client: &Client, chat: &Chat, number: usize, warm: Instant, end: Instant) -> Vec<Duration> {
    let mut latencies = Vec::new();
    for n in 0.. {
        let sent = Instant::now();
        if sent >= end {
            break;
        }
        let asked = client.ask("send_message", &message(chat, &format!("{number}-{n}")));
        assert_acked(&timeout(PATIENCE, asked).await.expect("in time").expect("an answer"));
        if sent >= warm && Instant::now() <= end {
            latencies.push(sent.elapsed());
        }
    }
    latencies
}
