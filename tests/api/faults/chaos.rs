//! The servers are killed at random moments while many people write and read: nothing that was acknowledged is
//! lost, nothing comes twice, and every reader ends with the whole history in order.
//!
//! `CHAOS_KILLS` says how often (default 2), `CHAOS_SEED` repeats a run's choices; `make chaos` does more.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use sqlx::{PgConnection, Row as _};
use testing::chats::{self, Chat};
use testing::reader::{Counts, Ended, Reader};
use testing::server::{Server, environment};
use testing::socket_io::{Client, Failure, nowhere};
use testing::{PATIENCE, Stack, lasting_port};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::support::SERVE;

const CHATS: usize = 20;
const SENDERS_PER_CHAT: usize = 5;
/// One who stays, one who comes late and one who comes and goes.
const READERS_PER_CHAT: usize = 3;

/// How long a sender waits for an answer before it takes the connection for dead.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How the sends went.
#[derive(Debug, Default)]
struct Tally {
    acked: AtomicUsize,
    retried: AtomicUsize,
    refused: AtomicUsize,
    unanswered: AtomicUsize,
    connections: AtomicUsize,
    repeated: AtomicUsize,
}

/// An acknowledgement: chat, clientMessageId, id and seq.
type Ack = (String, String, String, i64);

/// Nothing acknowledged is lost, whatever dies.
#[tokio::test(flavor = "multi_thread")]
async fn chaos_loses_and_repeats_nothing() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    let kills = number("CHAOS_KILLS").unwrap_or(2);
    let seed = number("CHAOS_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    println!("CHAOS_KILLS={kills} CHAOS_SEED={seed}");

    let stack = Stack::up().await;
    let database = stack.database().await;
    let port = lasting_port();
    let environment = environment(&database, &[("PORT", &port.to_string())]);
    let mut server = start(&environment).await;
    let mut session = database.session().await;
    for setting in ["fsync", "synchronous_commit"] {
        let value: String = sqlx::query_scalar("select current_setting($1)")
            .bind(setting)
            .fetch_one(&mut session)
            .await
            .expect(setting);
        assert_eq!(value, "on", "{setting}: a server that may lose commits would prove nothing");
    }
    let chats = chats::create(&mut session, CHATS, SENDERS_PER_CHAT + READERS_PER_CHAT).await;
    drop(session);

    let tally = Arc::new(Tally::default());
    let (stop_sending, stop_reading) = (CancellationToken::new(), CancellationToken::new());
    let mut senders = Vec::new();
    let mut readers = Vec::new();
    let mut seeds = StdRng::seed_from_u64(seed);
    for chat in &chats {
        let (writing, reading) = chat.members.split_at(SENDERS_PER_CHAT);
        for member in writing {
            let sender = Sender {
                port,
                token: member.token.clone(),
                chat_id: chat.id.clone(),
                rng: StdRng::seed_from_u64(seeds.random()),
            };
            senders.push(tokio::spawn(sender.send_until(stop_sending.clone(), tally.clone())));
        }
        for (habit, member) in reading.iter().enumerate() {
            let reader = Reader::new(port, &member.token, &chat.id);
            readers.push(tokio::spawn(read(
                reader,
                habit,
                StdRng::seed_from_u64(seeds.random()),
                stop_reading.clone(),
            )));
        }
    }

    let mut rng = StdRng::seed_from_u64(seed);
    until_acked(&tally, 20 * CHATS).await;
    for what in victims(kills, &mut rng) {
        sleep(Duration::from_millis(rng.random_range(200..1500))).await;
        let away = Duration::from_millis(rng.random_range(0..800));
        let (acked, killed) = (tally.acked.load(Ordering::Relaxed), Instant::now());
        if what == "server" {
            server.kill();
            sleep(away).await;
            server = start(&environment).await;
        } else {
            stack.run(what).await;
            sleep(away).await;
            stack.run("up").await;
        }
        println!("{what} away for {away:?}, back after {:?}", killed.elapsed());
        // Now and then the next one dies while everybody is still coming back.
        if rng.random_bool(0.7) {
            until_acked(&tally, acked + 5 * CHATS).await;
            println!("messages flow after {:?}", killed.elapsed());
        }
    }
    until_acked(&tally, tally.acked.load(Ordering::Relaxed) + 20 * CHATS).await;
    stop_sending.cancel();
    let mut acks = Vec::new();
    for sender in senders {
        acks.extend(tokio::time::timeout(PATIENCE, sender).await.expect("the last answer in time").expect("a sender"));
    }
    stop_reading.cancel();
    let mut read = Vec::new();
    for reader in readers {
        read.push(tokio::time::timeout(PATIENCE, reader).await.expect("the last page in time").expect("a reader"));
    }
    report(&tally, &read);

    let stored = stored(&mut database.session().await).await;
    assert_acks(&acks, &stored);
    assert_histories(&chats, &read, &stored);
    let repeats: Vec<_> = read.iter().flat_map(|reader| &reader.repeats).collect();
    assert!(
        repeats.is_empty(),
        "{} messages came twice on one socket: {:?}",
        repeats.len(),
        &repeats[..repeats.len().min(20)]
    );
    drop(server);
}

async fn start(environment: &[(String, String)]) -> Server {
    let environment = environment.to_vec();
    tokio::task::spawn_blocking(move || Server::start(SERVE, &environment)).await.expect("a server")
}

/// Each of the three dies before one dies again; the pooler, which chat does not use, less often.
fn victims(kills: u64, rng: &mut StdRng) -> Vec<&'static str> {
    let mut victims = vec!["server", "kill-postgres"];
    victims.shuffle(rng);
    victims.push("kill-pooler");
    while victims.len() < usize::try_from(kills).expect("a count") {
        victims.push(["server", "server", "kill-postgres", "kill-postgres", "kill-pooler"][rng.random_range(0..5)]);
    }
    victims.truncate(usize::try_from(kills).expect("a count"));
    victims
}

async fn until_acked(tally: &Tally, count: usize) {
    let started = Instant::now();
    while tally.acked.load(Ordering::Relaxed) < count {
        assert!(started.elapsed() < PATIENCE, "messages do not flow: {tally:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Somebody who writes one message after the other, each again under the same clientMessageId until it is
/// acknowledged, on one connection after the other.
struct Sender {
    port: u16,
    token: String,
    chat_id: String,
    rng: StdRng,
}

impl Sender {
    async fn send_until(mut self, stop: CancellationToken, tally: Arc<Tally>) -> Vec<Ack> {
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
            self.nap(20..400).await;
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

async fn read(mut reader: Reader, habit: usize, mut rng: StdRng, stop: CancellationToken) -> Reader {
    match habit {
        0 => {}
        1 => {
            let nap = Duration::from_millis(rng.random_range(4000..12_000));
            let _early = tokio::time::timeout(nap, stop.cancelled()).await;
        }
        _ => {
            while !stop.is_cancelled() {
                let leave_at = tokio::time::Instant::now() + Duration::from_millis(rng.random_range(200..2000));
                if reader.read(&stop, Some(leave_at)).await == Ended::Complete {
                    return reader;
                }
                let nap = Duration::from_millis(rng.random_range(50..1500));
                let _early = tokio::time::timeout(nap, stop.cancelled()).await;
            }
        }
    }
    reader.read_until(&stop).await;
    reader
}

fn report(tally: &Tally, read: &[Reader]) {
    println!("sends: {tally:?}");
    let sum = |of: fn(&Counts) -> usize| read.iter().map(|reader| of(&reader.counts)).sum::<usize>();
    println!(
        "{} readers: {} connections, {} joins, {} messages caught up with, {} live, {} of them before their turn",
        read.len(),
        sum(|counts| counts.connections),
        sum(|counts| counts.joins),
        sum(|counts| counts.caught_up),
        sum(|counts| counts.live),
        sum(|counts| counts.gaps)
    );
}

/// A chat's messages by seq: id and clientMessageId.
type Stored = HashMap<String, Vec<(i64, String, String)>>;

async fn stored(session: &mut PgConnection) -> Stored {
    let rows = sqlx::query("select chat_id::text, seq, id::text, sender_id || ' ' || client_message_id from stm.messages order by chat_id, seq")
        .fetch_all(&mut *session)
        .await
        .expect("the messages");
    let mut stored = Stored::new();
    for row in &rows {
        stored.entry(row.get(0)).or_default().push((row.get(1), row.get(2), row.get(3)));
    }
    let last: Vec<(String, i64)> =
        sqlx::query_as("select id::text, last_seq from stm.chats").fetch_all(session).await.expect("the chats");
    for (chat, last_seq) in last {
        let messages = stored.entry(chat.clone()).or_default();
        assert!(messages.iter().map(|message| message.0).eq(1..=last_seq), "seq is not 1 to {last_seq} in {chat}");
        let mut names: Vec<_> = messages.iter().map(|message| &message.2).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|two| two[0] != two[1]), "a clientMessageId twice in {chat}");
    }
    stored
}

/// Everything acknowledged is there, as acknowledged; and, since nobody stops before an answer, nothing else is.
fn assert_acks(acks: &[Ack], stored: &Stored) {
    for (chat, name, id, seq) in acks {
        let at = usize::try_from(seq - 1).expect("a seq");
        let message = stored[chat].get(at);
        let is_there =
            message.is_some_and(|(_, stored_id, stored_name)| stored_id == id && stored_name.ends_with(name));
        assert!(is_there, "{name} of {chat} was acknowledged as {id}, {seq}, and stored is {message:?}");
    }
    assert_eq!(acks.len(), stored.values().map(Vec::len).sum::<usize>(), "every message is acknowledged once");
}

fn assert_histories(chats: &[Chat], read: &[Reader], stored: &Stored) {
    for (reader, chat) in read.iter().zip(chats.iter().flat_map(|chat| std::iter::repeat_n(chat, READERS_PER_CHAT))) {
        assert!(reader.faults.is_empty(), "{:?}", reader.faults);
        let expected = stored[&chat.id].iter().map(|(_, id, _)| id);
        assert!(expected.eq(&reader.history), "a reader of {} has not its history", chat.id);
    }
}
