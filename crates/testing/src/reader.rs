//! A client that holds a chat's history, as every client should. It applies a message only if its `seq` is the next one
//! and drops lower ones. Where some are missing, it joins again with the last `seq` it has.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::socket_io::{Client, Event, Failure};

/// How long a join may take before the connection is given up.
const JOIN_TIMEOUT: Duration = Duration::from_secs(15);

/// The delay before a refused join or connection is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// A reader of one chat, on one connection after the other.
#[derive(Debug, Default)]
pub struct Reader {
    port: u16,
    token: String,
    chat_id: String,
    /// The ids of the messages applied: that of `seq` 1 first.
    pub history: Vec<String>,
    /// Messages that came twice on one socket, and how.
    pub repeats: Vec<String>,
    /// What should never happen.
    pub faults: Vec<String>,
    pub counts: Counts,
}

/// What a reader has seen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub connections: usize,
    pub joins: usize,
    /// Times that a message other than the next one came.
    pub gaps: usize,
    pub caught_up: usize,
    pub live: usize,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Asked to stop, and nothing is missing.
    Complete,
    /// By the reader itself, at its time to leave.
    Left,
    /// Lost or refused.
    Lost,
}

/// What came on one socket.
#[derive(Default)]
struct Received {
    live: Vec<String>,
    answers: Vec<Vec<String>>,
    events: Vec<Vec<String>>,
    /// Messages that were not the next one when they came, and so were asked for again.
    early: Vec<String>,
}

impl Reader {
    pub fn new(port: u16, token: &str, chat_id: &str) -> Self {
        Self { port, token: token.to_owned(), chat_id: chat_id.to_owned(), ..Self::default() }
    }

    /// Reads, on as many connections as it takes, until `stop` is cancelled and nothing is missing.
    pub async fn read_until(&mut self, stop: &CancellationToken) {
        while self.read(stop, None).await != Ended::Complete {
            sleep(RETRY_AFTER).await;
        }
    }

    /// Connects, catches up and reads: until `stop` is cancelled and nothing is missing, until `leave_at`, or until the
    /// connection is lost.
    pub async fn read(&mut self, stop: &CancellationToken, leave_at: Option<Instant>) -> Ended {
        // As many as come while a page is applied. Nobody else receives, so the connection waits for us.
        let (events, incoming) = mpsc::channel(64);
        let Ok(client) = Client::connect(self.port, &self.token, events).await else { return Ended::Lost };
        self.counts.connections += 1;
        let mut received = Received::default();
        let ended = self.listen(&client, incoming, &mut received, stop, leave_at).await;
        self.judge(received);
        ended.unwrap_or(Ended::Lost)
    }

    async fn listen(
        &mut self,
        client: &Client,
        mut incoming: mpsc::Receiver<Event>,
        received: &mut Received,
        stop: &CancellationToken,
        leave_at: Option<Instant>,
    ) -> Result<Ended, Failure> {
        let mut joining = Some(Box::pin(self.join(client, Duration::ZERO)));
        // A message that was not the next one has come, or a last look is due.
        let mut join_again = false;
        let mut is_last_look = false;
        let leave_at = leave_at.unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400));
        loop {
            tokio::select! {
                answer = async { joining.as_mut().expect("a join").await }, if joining.is_some() => {
                    let answer = answer?;
                    joining = None;
                    if let Some(code) = answer["error"]["code"].as_str() {
                        if code != "unavailable" && code != "overloaded" {
                            self.faults.push(format!("join_chat: {answer}"));
                        }
                        joining = Some(Box::pin(self.join(client, RETRY_AFTER)));
                        continue;
                    }
                    received.answers.push(self.apply_page(&answer));
                    let is_behind = self.history.len() < usize::try_from(answer["lastSeq"].as_u64().unwrap_or(0)).expect("a count");
                    if answer["hasMore"] == true || is_behind || join_again {
                        join_again = false;
                        joining = Some(Box::pin(self.join(client, Duration::ZERO)));
                    } else if is_last_look {
                        return Ok(Ended::Complete);
                    }
                }
                event = incoming.recv() => {
                    let Some(event) = event else { return Err(Failure::Lost) };
                    if event.is("joined_chat") {
                        received.events.push(self.apply_page(&event.payload()));
                    } else if event.is("new_message") {
                        let message = event.payload();
                        self.counts.live += 1;
                        received.live.push(id_of(&message));
                        if message["chatId"] != self.chat_id.as_str() {
                            self.faults.push(format!("a message of another chat: {message}"));
                        } else if !self.apply(&message) {
                            self.counts.gaps += 1;
                            received.early.push(id_of(&message));
                            join_again = true;
                        }
                    }
                }
                () = stop.cancelled(), if !is_last_look => {
                    is_last_look = true;
                    join_again = true;
                }
                () = sleep_until(leave_at) => return Ok(Ended::Left),
            }
            if join_again && joining.is_none() {
                join_again = false;
                joining = Some(Box::pin(self.join(client, Duration::ZERO)));
            }
        }
    }

    fn join(&mut self, client: &Client, after: Duration) -> impl Future<Output = Result<Value, Failure>> + use<> {
        self.counts.joins += 1;
        let asked = client.ask("join_chat", &json!({"chatId": self.chat_id, "afterSeq": self.history.len()}));
        async move {
            sleep(after).await;
            timeout(JOIN_TIMEOUT, asked).await.unwrap_or(Err(Failure::Lost))
        }
    }

    /// Applies what a join brought. Returns the ids.
    fn apply_page(&mut self, page: &Value) -> Vec<String> {
        let Some(messages) = page["messages"].as_array() else {
            self.faults.push(format!("an answer to join_chat without messages: {page}"));
            return Vec::new();
        };
        if messages.len() > 200 || messages.windows(2).any(|two| seq_of(&two[0]) + 1 != seq_of(&two[1])) {
            let seqs: Vec<_> = messages.iter().map(seq_of).collect();
            self.faults.push(format!("a page out of order, or too long: {seqs:?}"));
        }
        let before = self.history.len();
        if !messages.iter().all(|message| self.apply(message)) {
            self.faults.push(format!("a page that begins after {before}: {}", messages[0]));
        }
        self.counts.caught_up += self.history.len() - before;
        messages.iter().map(id_of).collect()
    }

    /// Applies a message if it is the next one, and drops it if it is not new. Returns `false` if some before it are missing.
    fn apply(&mut self, message: &Value) -> bool {
        let (seq, id) = (seq_of(message), id_of(message));
        match self.history.get(seq - 1) {
            None if seq == self.history.len() + 1 => self.history.push(id),
            None => return false,
            Some(known) if *known == id => {}
            Some(known) => self.faults.push(format!("seq {seq} is {known}, and {id}")),
        }
        true
    }

    /// Looks for messages that came twice. The answer to a join and the event `joined_chat` are one; when the
    /// connection ends, the last join may have brought only one of them.
    fn judge(&mut self, received: Received) {
        let Received { live, answers, events, early } = received;
        let unlike = answers.iter().zip(&events).filter(|(answer, event)| answer != event).count();
        if unlike > 0 || answers.len() > events.len() + 1 || events.len() > answers.len() + 1 {
            let counts = (answers.len(), events.len());
            self.faults.push(format!("joined_chat is not the acknowledgement: {unlike} of {counts:?} differ"));
        }
        let pages = if events.len() > answers.len() { events } else { answers };
        let mut came: HashMap<String, BTreeMap<&str, usize>> = HashMap::new();
        for (how, id) in
            live.into_iter().map(|id| ("live", id)).chain(pages.into_iter().flatten().map(|id| ("missed", id)))
        {
            *came.entry(id).or_default().entry(how).or_default() += 1;
        }
        for id in early {
            if let Some(how) = came.get_mut(&id) {
                how.entry("early").or_insert(0);
            }
        }
        let twice = came.into_iter().filter(|(_, how)| how.values().sum::<usize>() > 1);
        self.repeats.extend(twice.map(|(id, how)| format!("{id} {how:?}")));
    }
}

fn seq_of(message: &Value) -> usize {
    message["seq"].as_u64().and_then(|seq| usize::try_from(seq).ok()).filter(|seq| *seq > 0).expect("a seq")
}

fn id_of(message: &Value) -> String {
    message["id"].as_str().expect("an id").to_owned()
}
