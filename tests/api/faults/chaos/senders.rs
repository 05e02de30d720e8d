//! People who write messages until told to stop, each message again until it is acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use testing::socket_io::{Client, Failure, nowhere};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How long a sender waits for an answer before it takes the connection for dead.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How the sends went.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) acked: AtomicUsize,
    retried: AtomicUsize,
    refused: AtomicUsize,
    unanswered: AtomicUsize,
    connections: AtomicUsize,
    repeated: AtomicUsize,
}

/// An acknowledgement: chat, clientMessageId, id and seq.
pub(super) type Ack = (String, String, String, i64);

/// Somebody who writes one message after the other, each again under the same clientMessageId until it is
/// acknowledged, on one connection after the other.
pub(super) struct Sender {
    pub(super) port: u16,
    pub(super) token: String,
    pub(super) chat_id: String,
    /// Between two messages.
    pub(super) pause_ms: std::ops::Range<u64>,
    pub(super) rng: StdRng,
}

impl Sender {
    pub(super) async fn send_until(mut self, stop: CancellationToken, tally: Arc<Tally>) -> Vec<Ack> {
        let mut acks: Vec<Ack> = Vec::new();
        let mut client = None;
        while !stop.is_cancelled() {
            let name = format!("message {}", acks.len());
            let (id, seq) = self.send(&name, &mut client, &tally).await;
            tally.acked.fetch_add(1, Ordering::Relaxed);
            acks.push((self.chat_id.clone(), name, id, seq));
            // Whoever missed the acknowledgement gets the same again.
            if self.rng.random_ratio(1, 16) {
                let (chat_id, name, id, seq) = &acks[self.rng.random_range(0..acks.len())];
                let again = self.send(name, &mut client, &tally).await;
                assert_eq!((id, seq), (&again.0, &again.1), "{name} in {chat_id} again");
                tally.repeated.fetch_add(1, Ordering::Relaxed);
            }
            self.nap(self.pause_ms.clone()).await;
        }
        acks
    }

    async fn send(&mut self, name: &str, client: &mut Option<Client>, tally: &Tally) -> (String, i64) {
        let message = json!({"chatId": self.chat_id, "message": name, "clientMessageId": name});
        let mut is_first = true;
        loop {
            let Some(open) = client else {
                match Client::connect(self.port, &self.token, nowhere()).await {
                    Ok(new) => {
                        tally.connections.fetch_add(1, Ordering::Relaxed);
                        *client = Some(new);
                    }
                    Err(Failure::Lost | Failure::Refused(_)) => self.nap(50..250).await,
                }
                continue;
            };
            if !std::mem::take(&mut is_first) {
                tally.retried.fetch_add(1, Ordering::Relaxed);
            }
            let Ok(Ok(answer)) = tokio::time::timeout(ANSWER_TIMEOUT, open.ask("send_message", &message)).await else {
                tally.unanswered.fetch_add(1, Ordering::Relaxed);
                *client = None;
                continue;
            };
            if let (Some(id), Some(seq)) = (answer["id"].as_str(), answer["seq"].as_i64()) {
                return (id.to_owned(), seq);
            }
            assert!(may_be_tried_again(&answer), "{name}: {answer}");
            tally.refused.fetch_add(1, Ordering::Relaxed);
            self.nap(20..120).await;
        }
    }

    async fn nap(&mut self, ms: std::ops::Range<u64>) {
        sleep(Duration::from_millis(self.rng.random_range(ms))).await;
    }
}

fn may_be_tried_again(answer: &Value) -> bool {
    answer["error"]["code"] == "unavailable" || answer["error"]["code"] == "overloaded"
}
