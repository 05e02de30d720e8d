//! What chat costs and carries, on the real `serve` process: ratios and costs first, absolute figures after.
//!
//! Run by `scripts/bench`, on a database stack of its own; `PGBENCH` names the program (default `pgbench`).
//! `BENCH_CHAT_ROUNDS` (default 3) and `BENCH_CHAT_ROUND_S` (default 2) set how long it takes. Each section, a function in
//! `SECTIONS`, measures and adds its lines to the table.

#![allow(clippy::expect_used, missing_docs, reason = "a bench fails by panicking")]
#![allow(clippy::cast_precision_loss, reason = "figures are printed with three digits")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use testing::chat_load::{self, MESSAGE, SENDERS_PER_CHAT, Sends, Target, assert_acked, join, message};
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

/// Sockets in a room, and how many such rooms are used at once: about as many deliveries are in flight in each case.
const ROOMS: [(usize, usize); 3] = [(2, 64), (50, 4), (1000, 1)];

/// Messages in flight to a room at once.
const MESSAGES_IN_FLIGHT: usize = 4;

/// Each waits for its acknowledgement before it sends again.
const SENDERS: [usize; 4] = [1, 16, 256, 1024];

/// pgbench's clients: as many as the service may have direct connections.
const PGBENCH_CLIENTS: usize = 15;

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

    /// With a history.
    async fn start_with_history() -> Self {
        let served = Self::start().await;
        chats::create_with_history(&mut served.database.session().await, 500, 100, MESSAGE).await;
        served
    }

    async fn chats(&self, chats: usize, members: usize) -> Vec<Chat> {
        chats::create(&mut self.database.session().await, chats, members).await
    }

    fn target(&self) -> Target {
        Target { port: self.server.port, pid: self.server.pid() }
    }

    /// Processor time so far.
    fn cpu_us(&self) -> f64 {
        usage::cpu_us(self.server.pid())
    }

    fn resident_kib(&self) -> f64 {
        usage::resident_kib(self.server.pid())
    }
}

// --- acknowledged messages, beside bare inserts ------------------------------------------------

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
    chat_load::send_for(served.target(), &chats, senders, round).await
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
            clients = join(served.target(), &chat, sockets, &events) => clients,
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
    /// Sends until the time is up, a few messages ahead of what the room has received; then waits until it has all of them.
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
        clients.extend(join(served.target(), chat, IDLE_SOCKETS / chats.len(), &nowhere()).await);
    }
    sleep(Duration::from_secs(1)).await;
    (served.resident_kib() - before) / clients.len() as f64
}
