//! What chat costs and carries, on the real `serve` process: ratios and costs first, absolute figures after.
//!
//! Run by `scripts/bench`, on a database stack of its own; `PGBENCH` names the program (default `pgbench`).
//! `BENCH_CHAT_ROUNDS` (default 3) and `BENCH_CHAT_ROUND_S` (default 2) say how long. A section measures and adds its
//! lines to the table; a further one is a function in `SECTIONS`.

#![allow(clippy::expect_used, missing_docs, reason = "a bench fails by panicking")]
#![allow(clippy::cast_precision_loss, reason = "figures are printed with three digits")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::{self, FuturesUnordered};
use serde_json::{Value, json};
use testing::chats::{self, Chat};
use testing::pgbench::Pgbench;
use testing::report::{self, Figure, say, setting};
use testing::server::{Server, environment};
use testing::socket_io::{Client, Event, nowhere};
use testing::usage;
use testing::{Database, PATIENCE, execute};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

#[path = "chat/writer.rs"]
mod writer;

/// How many sockets wait for messages when memory is measured.
const IDLE_SOCKETS: usize = 5000;

/// Sockets in a room, and how many such rooms are used at once: about as many deliveries on the way.
const ROOMS: [(usize, usize); 3] = [(2, 64), (50, 4), (1000, 1)];

/// Messages on their way to a room at once.
const MESSAGES_IN_FLIGHT: usize = 4;

/// Each waits for its acknowledgement before it sends again; four share a chat.
const SENDERS: [usize; 4] = [1, 16, 256, 1024];
const SENDERS_PER_CHAT: usize = 4;

/// pgbench's clients: as many as the service may have direct connections.
const PGBENCH_CLIENTS: usize = 15;

const MESSAGE: &str = "On my way: I have the parts, and should be there in about twenty minutes.";

/// Every section, in the order of the table.
const SECTIONS: &[fn(&mut Bench)] = &[writer::section, sends, fan_out, idle];

fn main() {
    // `cargo test --benches` only wants to know that it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let mut bench = Bench::new();
    let started = Instant::now();
    for section in SECTIONS {
        section(&mut bench);
    }
    bench.print(started.elapsed());
}

/// What the sections share.
struct Bench {
    /// One thread for all clients, so that the server has the other processors.
    runtime: tokio::runtime::Runtime,
    /// Before the run.
    machine: String,
    rounds: usize,
    round: Duration,
    ratios: Vec<Figure>,
    figures: Vec<Figure>,
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self {
            runtime,
            machine: report::machine(),
            rounds: setting("BENCH_CHAT_ROUNDS", 3),
            round: Duration::from_secs(setting("BENCH_CHAT_ROUND_S", 2)),
            ratios: Vec::new(),
            figures: Vec::new(),
        }
    }

    fn print(mut self, took: Duration) {
        self.ratios.append(&mut self.figures);
        report::print(&self.ratios);
        println!(
            "\n{}; {} rounds in turn; {took:.0?} in all.\n\
             Four senders share a chat and are in its room, so a message also goes to {} sockets. pgbench: {PGBENCH_CLIENTS} clients.",
            self.machine,
            self.rounds,
            SENDERS_PER_CHAT - 1
        );
    }
}

/// A server with a database.
struct Served {
    server: Server,
    database: Database,
}

impl Served {
    async fn start() -> Self {
        let database = Database::create().await;
        let server = Server::start(env!("CARGO_BIN_EXE_serve"), &environment(&database, &[]));
        Self { server, database }
    }

    /// With a history, and statistics of it: on empty tables PostgreSQL plans, and keeps, scans of the whole table.
    async fn start_with_history() -> Self {
        const CHATS: usize = 500;
        const MESSAGES_PER_CHAT: usize = 100;
        let served = Self::start().await;
        served.chats(CHATS, 2).await;
        let mut session = served.database.session().await;
        let history = format!(
            "insert into stm.messages (chat_id, seq, sender_id, sender_type, client_message_id, message)
             select chat_id, i, min(user_id), 'customer', i, '{MESSAGE}'
             from stm.chat_members, generate_series(1, {MESSAGES_PER_CHAT}) i group by chat_id, i;
             update stm.chats set last_seq = {MESSAGES_PER_CHAT};"
        );
        execute(&mut session, &history).await;
        execute(&mut session, "vacuum (analyze)").await;
        execute(&mut session, "checkpoint").await;
        served
    }

    async fn chats(&self, chats: usize, members: usize) -> Vec<Chat> {
        chats::create(&mut self.database.session().await, chats, members).await
    }

    /// Processor time so far.
    fn cpu_us(&self) -> f64 {
        usage::cpu_us(self.server.pid())
    }

    fn resident_kib(&self) -> f64 {
        usage::resident_kib(self.server.pid())
    }

    /// A socket of each of so many of the chat's members in turn, all of them in its room.
    async fn join(&self, chat: &Chat, sockets: usize, events: &mpsc::Sender<Event>) -> Vec<Client> {
        let joining = (0..sockets).map(|number| {
            let member = &chat.members[number % chat.members.len()];
            async move {
                let client =
                    Client::connect(self.server.port, &member.token, events.clone()).await.expect("a connection");
                let joined =
                    timeout(PATIENCE, client.ask("join_chat", &json!({"chatId": chat.id, "afterSeq": 0}))).await;
                let joined = joined.expect("in time").expect("an answer");
                assert_eq!(joined["hasMore"], false, "{joined}");
                client
            }
        });
        stream::iter(joining).buffer_unordered(64).collect().await
    }
}

fn message(chat: &Chat, name: &str) -> Value {
    json!({"chatId": chat.id, "message": MESSAGE, "clientMessageId": name})
}

fn assert_acked(ack: &Value) {
    assert!(ack["seq"].is_i64(), "a message was not stored: {ack}");
}

// --- acknowledged messages, beside bare inserts ------------------------------------------------

/// What one number of senders reached in a round.
struct Sends {
    per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us: f64,
}

/// Acknowledged messages through the whole server, in turn with pgbench's single INSERT.
fn sends(bench: &mut Bench) {
    let (rounds, round) = (bench.rounds, bench.round);
    let (per_senders, inserts) = bench.runtime.block_on(async {
        let served = Served::start_with_history().await;
        let yardstick = Yardstick::new(&served.database).await;
        let mut per_senders: [Vec<Sends>; SENDERS.len()] = std::array::from_fn(|_| Vec::new());
        let mut inserts = Vec::new();
        for number in 0..rounds {
            let mut sides: Vec<_> = (0..=SENDERS.len()).collect();
            if number % 2 == 1 {
                sides.reverse();
            }
            for side in sides {
                if side == SENDERS.len() {
                    inserts.push(yardstick.run(round).await);
                    say(&format!("round {}: {:.0} inserts/s", number + 1, inserts[number]));
                } else {
                    let sends = send_for(&served, SENDERS[side], round).await;
                    say(&format!("round {}: {} senders, {:.0} messages/s", number + 1, SENDERS[side], sends.per_s));
                    per_senders[side].push(sends);
                }
            }
        }
        (per_senders, inserts)
    });
    for (senders, measured) in SENDERS.iter().zip(&per_senders) {
        let of = |value: fn(&Sends) -> f64| measured.iter().map(value).collect::<Vec<_>>();
        let ratio = measured.iter().zip(&inserts).map(|(sends, inserts)| sends.per_s / inserts).collect();
        let name = |what: &str| format!("{senders} sending: {what}");
        bench.ratios.push(Figure::new(name("messages/s of pgbench's inserts/s"), "", ratio));
        bench.figures.extend([
            Figure::new(name("acknowledged messages/s"), "", of(|sends| sends.per_s)),
            Figure::new(name("acknowledgement, p50"), "ms", of(|sends| sends.p50_ms)),
            Figure::new(name("acknowledgement, p99"), "ms", of(|sends| sends.p99_ms)),
            Figure::new(name("CPU of the service per message"), "us", of(|sends| sends.cpu_us)),
        ]);
    }
    bench.figures.push(Figure::new("pgbench, single INSERT: inserts/s", "", inserts));
}

async fn send_for(served: &Served, senders: usize, round: Duration) -> Sends {
    let chats = served.chats(senders.div_ceil(SENDERS_PER_CHAT), 2).await;
    let mut clients = Vec::new();
    for chat in &chats {
        let sockets = SENDERS_PER_CHAT.min(senders - clients.len());
        clients.extend(served.join(chat, sockets, &nowhere()).await.into_iter().map(|client| (client, chat)));
    }
    let warm = Instant::now() + round / 4;
    let end = warm + round;
    let sending: FuturesUnordered<_> = clients
        .iter()
        .enumerate()
        .map(|(number, (client, chat))| async move {
            let mut latencies = Vec::new();
            for n in 0.. {
                let sent = Instant::now();
                if sent >= end {
                    break;
                }
                let asked = client.ask("send_message", &message(chat, &format!("{number}-{n}")));
                assert_acked(&timeout(PATIENCE, asked).await.expect("in time").expect("an answer"));
                // Only what was both sent and acknowledged while all were at it.
                if sent >= warm && Instant::now() <= end {
                    latencies.push(sent.elapsed());
                }
            }
            latencies
        })
        .collect();
    let cpu_us = async {
        sleep(warm - Instant::now()).await;
        let before = served.cpu_us();
        sleep(end - Instant::now()).await;
        served.cpu_us() - before
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

/// pgbench, inserting rows one by one into a table like that of the messages.
struct Yardstick {
    inserts: Arc<Pgbench>,
    direct_url: String,
}

impl Yardstick {
    async fn new(database: &Database) -> Self {
        let mut session = database.session().await;
        execute(&mut session, "create table public.bare_messages (like stm.messages including all)").await;
        let insert = format!(
            "insert into public.bare_messages (chat_id, seq, sender_id, sender_type, client_message_id, message)\n\
             values (gen_random_uuid(), 1, 1, 'customer', '1', '{MESSAGE}');\n"
        );
        let inserts = Arc::new(Pgbench::new(&insert, "prepared", PGBENCH_CLIENTS));
        Self { inserts, direct_url: database.direct_url() }
    }

    /// Inserts per second.
    async fn run(&self, round: Duration) -> f64 {
        let (inserts, url) = (self.inserts.clone(), self.direct_url.clone());
        tokio::task::spawn_blocking(move || inserts.run(round, &url)).await.expect("pgbench").per_s
    }
}

// --- fan-out -----------------------------------------------------------------------------------

/// A chat whose room is full of sockets.
struct Room {
    chat: Chat,
    clients: Vec<Client>,
    heard: mpsc::Receiver<Event>,
}

/// Deliveries to rooms of a few, many and very many sockets.
fn fan_out(bench: &mut Bench) {
    let (rounds, round) = (bench.rounds, bench.round);
    let measured = bench.runtime.block_on(async {
        let served = Served::start_with_history().await;
        let mut filled = Vec::new();
        for (sockets, rooms) in ROOMS {
            filled.push(fill_rooms(&served, sockets, rooms).await);
        }
        let mut measured: [(Vec<f64>, Vec<f64>); ROOMS.len()] = Default::default();
        for number in 0..rounds {
            let mut sides: Vec<_> = (0..ROOMS.len()).collect();
            if number % 2 == 1 {
                sides.reverse();
            }
            for side in sides {
                let (per_s, cpu_us) = deliver_for(&served, &mut filled[side], number, round).await;
                let sockets = ROOMS[side].0;
                say(&format!("round {}: rooms of {sockets}, {per_s:.0} deliveries/s at {cpu_us:.1} us", number + 1));
                measured[side].0.push(per_s);
                measured[side].1.push(cpu_us);
            }
        }
        measured
    });
    for ((sockets, _), (per_s, cpu_us)) in ROOMS.into_iter().zip(measured) {
        bench.ratios.push(Figure::new(format!("rooms of {sockets}: CPU of the service per delivery"), "us", cpu_us));
        bench.figures.push(Figure::new(format!("rooms of {sockets}: deliveries/s"), "", per_s));
    }
}

async fn fill_rooms(served: &Served, sockets: usize, rooms: usize) -> Vec<Room> {
    let mut filled = Vec::new();
    for chat in served.chats(rooms, 2).await {
        let (events, mut heard) = mpsc::channel(1024);
        // Everybody is notified of everybody who joins.
        let clients = tokio::select! {
            clients = served.join(&chat, sockets, &events) => clients,
            () = async { while heard.recv().await.is_some() {} } => unreachable!("the sender is here"),
        };
        filled.push(Room { chat, clients, heard });
    }
    filled
}

/// Deliveries per second, and microseconds of the service for each.
async fn deliver_for(served: &Served, rooms: &mut [Room], number: usize, round: Duration) -> (f64, f64) {
    let (before, started) = (served.cpu_us(), Instant::now());
    let talking: FuturesUnordered<_> = rooms.iter_mut().map(|room| room.talk(number, started + round)).collect();
    let deliveries: usize = talking.collect::<Vec<_>>().await.iter().sum();
    let (took, cpu_us) = (started.elapsed(), served.cpu_us() - before);
    (deliveries as f64 / took.as_secs_f64(), cpu_us / deliveries as f64)
}

impl Room {
    /// Sends until the time is up, a few messages ahead of what the room has heard; all of it is heard.
    async fn talk(&mut self, number: usize, end: Instant) -> usize {
        let Self { chat, clients, heard } = self;
        let listeners = clients.len() - 1;
        let mut acks = FuturesUnordered::new();
        let (mut sent, mut deliveries) = (0, 0);
        loop {
            while Instant::now() < end && sent < deliveries / listeners + MESSAGES_IN_FLIGHT {
                acks.push(clients[0].ask("send_message", &message(chat, &format!("{number}-{sent}"))));
                sent += 1;
            }
            if acks.is_empty() && deliveries == sent * listeners {
                return deliveries;
            }
            let one = async {
                tokio::select! {
                    Some(ack) = acks.next() => assert_acked(&ack.expect("an answer")),
                    event = heard.recv() => deliveries += usize::from(event.expect("an event").is("new_message")),
                }
            };
            let in_time = timeout(PATIENCE, one).await;
            assert!(in_time.is_ok(), "{deliveries} of {} deliveries, and no more", sent * listeners);
        }
    }
}

// --- idle sockets ------------------------------------------------------------------------------

/// Resident memory of the service per socket that has joined a chat and waits.
fn idle(bench: &mut Bench) {
    const CHATS: usize = 100;
    let open_files = std::fs::read_to_string("/proc/self/limits").expect("/proc");
    let open_files = open_files.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a limit");
    let most: usize = open_files.split_whitespace().next().and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
    assert!(most > IDLE_SOCKETS + 200, "{IDLE_SOCKETS} sockets need a higher limit of open files: ulimit -n");
    let rounds = bench.rounds;
    let kib = bench.runtime.block_on(async {
        let mut kib = Vec::new();
        for number in 0..rounds {
            kib.push(idle_kib(CHATS).await);
            say(&format!("round {}: {:.1} KiB per idle socket", number + 1, kib[number]));
        }
        kib
    });
    let line = Figure::new(format!("{IDLE_SOCKETS} idle sockets: resident memory for each"), "KiB", kib);
    bench.ratios.push(line.at_most(30.0));
}

async fn idle_kib(chats: usize) -> f64 {
    let served = Served::start().await;
    let chats = served.chats(chats, 2).await;
    sleep(Duration::from_secs(1)).await;
    let before = served.resident_kib();
    let mut clients = Vec::new();
    for chat in &chats {
        clients.extend(served.join(chat, IDLE_SOCKETS / chats.len(), &nowhere()).await);
    }
    sleep(Duration::from_secs(1)).await;
    (served.resident_kib() - before) / clients.len() as f64
}
