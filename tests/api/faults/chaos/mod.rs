//! Servers are killed, stopped and stalled at random moments while many people write, read and book: nothing that was
//! acknowledged is lost, nothing comes twice, every reader ends with the whole history in order, and nobody reads what
//! belongs to somebody else.
//!
//! `CHAOS_KILLS` says how often (default 2), `CHAOS_SEED` repeats a run's choices; `make chaos` does more. With
//! `CHAOS_MINUTES` it goes on for so long, the service itself is killed in the first sixth only, and its memory has to be
//! flat afterwards: `make soak`.

mod bookers;
mod senders;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use sqlx::{PgConnection, Row as _};
use testing::chats::{self, Chat};
use testing::reader::{Counts, Ended, Reader};
use testing::server::Server;
use testing::usage::resident_kib;
use testing::world::World;
use testing::{PATIENCE, Stack, lasting_port};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::support::SERVE;
use bookers::{Booked, Booker};
use senders::{Ack, Sender, Tally};

const CHATS: usize = 20;
const SENDERS_PER_CHAT: usize = 5;
/// One who stays, one who comes late and one who comes and goes.
const READERS_PER_CHAT: usize = 3;
const BOOKERS: usize = 6;

/// What befalls the servers.
#[derive(Debug, Clone, Copy)]
enum Fault {
    KillService,
    KillPostgres,
    KillPooler,
    StopPostgres,
    StopPooler,
}

/// How long the run goes on.
#[derive(Debug, Clone, Copy)]
enum Length {
    Kills(usize),
    Time(Duration),
}

/// Nothing acknowledged is lost, whatever dies.
#[tokio::test(flavor = "multi_thread")]
async fn chaos_loses_and_repeats_nothing() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    let length = match number("CHAOS_MINUTES") {
        Some(minutes) => Length::Time(Duration::from_secs(60 * minutes)),
        None => Length::Kills(usize::try_from(number("CHAOS_KILLS").unwrap_or(2)).expect("a count")),
    };
    let seed = number("CHAOS_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    println!("{length:?} CHAOS_SEED={seed}");

    let stack = Stack::up().await;
    let port = lasting_port().to_string();
    let mut world = World::start_on(SERVE, stack.database().await, &[("PORT", &port)]).await;
    let mut session = world.database.session().await;
    assert_durable(&mut session).await;
    let chats = chats::create(&mut session, CHATS, SENDERS_PER_CHAT + READERS_PER_CHAT).await;
    drop(session);
    let idle_kib = resident_kib(world.server.pid());

    let mut seeds = StdRng::seed_from_u64(seed);
    let mut crowd = Crowd::gather(&world, &chats, length, &mut seeds).await;
    crowd.until_acked(20 * CHATS).await;
    let mut rng = StdRng::seed_from_u64(seed);
    let memory = match length {
        Length::Kills(kills) => {
            for fault in faults(kills, &mut rng) {
                strike(fault, &stack, &mut world, &crowd, &mut rng).await;
            }
            Vec::new()
        }
        Length::Time(time) => go_on(time, &stack, &mut world, &crowd, &mut rng).await,
    };
    crowd.until_acked(crowd.tally.acked.load(Ordering::Relaxed) + 20 * CHATS).await;
    let (acks, read, booked) = crowd.disperse().await;
    report(&read, &booked);

    let mut session = world.database.session().await;
    let stored = stored(&mut session, &chats).await;
    assert_acks(&acks, &stored);
    assert_histories(&chats, &read, &stored);
    assert_bookings(&mut session, &booked).await;
    if !memory.is_empty() {
        assert_memory(idle_kib, &memory, world.server.pid()).await;
    }
}

/// A database that may lose commits would prove nothing.
async fn assert_durable(session: &mut PgConnection) {
    for setting in ["fsync", "synchronous_commit"] {
        let value: String = sqlx::query_scalar("select current_setting($1)")
            .bind(setting)
            .fetch_one(&mut *session)
            .await
            .expect(setting);
        assert_eq!(value, "on", "{setting}");
    }
}

/// Everybody who writes, reads and books.
struct Crowd {
    tally: Arc<Tally>,
    stop_writing: CancellationToken,
    stop_reading: CancellationToken,
    senders: Vec<JoinHandle<Vec<Ack>>>,
    readers: Vec<JoinHandle<Reader>>,
    bookers: Vec<JoinHandle<Booked>>,
}

impl Crowd {
    async fn gather(world: &World, chats: &[Chat], length: Length, seeds: &mut StdRng) -> Self {
        let mut crowd = Self {
            tally: Arc::new(Tally::default()),
            stop_writing: CancellationToken::new(),
            stop_reading: CancellationToken::new(),
            senders: Vec::new(),
            readers: Vec::new(),
            bookers: Vec::new(),
        };
        let pause_ms = match length {
            Length::Kills(_) => 20..400,
            Length::Time(_) => 500..3000,
        };
        // The bookers first: who registers needs the processors for its password.
        for _ in 0..BOOKERS {
            let booker = Booker {
                http: reqwest::Client::builder().no_proxy().build().expect("an HTTP client"),
                base_url: world.server.base_url(),
                customer: world.customer().await,
                provider: world.provider("Plumbing").await,
                rng: StdRng::seed_from_u64(seeds.random()),
            };
            crowd.bookers.push(tokio::spawn(booker.book_until(crowd.stop_writing.clone())));
        }
        let port = world.server.port;
        for chat in chats {
            let (writing, reading) = chat.members.split_at(SENDERS_PER_CHAT);
            for member in writing {
                let sender = Sender {
                    port,
                    token: member.token.clone(),
                    chat_id: chat.id.clone(),
                    pause_ms: pause_ms.clone(),
                    rng: StdRng::seed_from_u64(seeds.random()),
                };
                let sent = sender.send_until(crowd.stop_writing.clone(), crowd.tally.clone());
                crowd.senders.push(tokio::spawn(sent));
            }
            for (habit, member) in reading.iter().enumerate() {
                let reader = Reader::new(port, &member.token, &chat.id);
                let rng = StdRng::seed_from_u64(seeds.random());
                crowd.readers.push(tokio::spawn(read(reader, habit, rng, crowd.stop_reading.clone())));
            }
        }
        crowd
    }

    /// Waits until so many messages are acknowledged; fails at once if somebody has seen what must not be.
    async fn until_acked(&self, count: usize) {
        let started = Instant::now();
        while self.tally.acked.load(Ordering::Relaxed) < count {
            assert!(started.elapsed() < PATIENCE, "messages do not flow: {:?}", self.tally);
            assert!(!self.bookers.iter().any(JoinHandle::is_finished), "a booker has failed");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the writing, then the reading. Returns what everybody was promised and has read.
    async fn disperse(&mut self) -> (Vec<Ack>, Vec<Reader>, Vec<Booked>) {
        self.stop_writing.cancel();
        let acks = ended(&mut self.senders).await.into_iter().flatten().collect();
        let booked = ended(&mut self.bookers).await;
        self.stop_reading.cancel();
        println!("sends: {:?}", self.tally);
        (acks, ended(&mut self.readers).await, booked)
    }
}

async fn ended<T>(tasks: &mut Vec<JoinHandle<T>>) -> Vec<T> {
    let mut results = Vec::new();
    for task in tasks.drain(..) {
        results.push(tokio::time::timeout(PATIENCE, task).await.expect("an end in time").expect("a task"));
    }
    results
}

/// Strikes for so long. Returns the service's resident memory in KiB, a sample after each blow since it was killed last.
async fn go_on(time: Duration, stack: &Stack, world: &mut World, crowd: &Crowd, rng: &mut StdRng) -> Vec<f64> {
    let started = Instant::now();
    let mut memory = Vec::new();
    while started.elapsed() < time {
        use Fault::{KillPooler, KillPostgres, KillService, StopPooler, StopPostgres};
        let may_restart = started.elapsed() < time / 6;
        let all = [StopPooler, StopPostgres, KillPooler, KillPostgres, KillService];
        let fault = *all[..if may_restart { 5 } else { 4 }].choose(rng).expect("a fault");
        strike(fault, stack, world, crowd, rng).await;
        sleep(Duration::from_millis(rng.random_range(2000..10_000))).await;
        if !may_restart {
            memory.push(resident_kib(world.server.pid()));
            println!(
                "after {:?}: {} MiB resident",
                started.elapsed(),
                memory.last().map_or(0.0, |kib| kib / 1024.0).round()
            );
        }
    }
    memory
}

async fn strike(fault: Fault, stack: &Stack, world: &mut World, crowd: &Crowd, rng: &mut StdRng) {
    sleep(Duration::from_millis(rng.random_range(200..1500))).await;
    let mut away = Duration::from_millis(rng.random_range(0..800));
    let (acked, struck) = (crowd.tally.acked.load(Ordering::Relaxed), Instant::now());
    match fault {
        Fault::KillService => {
            world.server.kill();
            sleep(away).await;
            stack.run("up").await;
            restart(world).await;
        }
        Fault::KillPostgres | Fault::KillPooler => {
            stack.run(if matches!(fault, Fault::KillPostgres) { "kill-postgres" } else { "kill-pooler" }).await;
            sleep(away).await;
            stack.run("up").await;
        }
        Fault::StopPostgres | Fault::StopPooler => {
            let [pause, resume] = match fault {
                Fault::StopPostgres => ["pause-postgres", "resume-postgres"],
                _ => ["pause-pooler", "resume-pooler"],
            };
            // Sometimes longer than any answer may take.
            away *= 15;
            // What has ended by itself is one fault more.
            stack.run("up").await;
            stack.run(pause).await;
            sleep(away).await;
            stack.run(resume).await;
        }
    }
    println!("{fault:?}: away for {away:?}, back after {:?}", struck.elapsed());
    // Now and then the next one dies while everybody is still coming back.
    if rng.random_bool(0.7) {
        crowd.until_acked(acked + 5 * CHATS).await;
        println!("messages flow after {:?}", struck.elapsed());
    }
}

async fn restart(world: &mut World) {
    let environment = world.environment(&[("PORT", &world.server.port.to_string())]);
    world.server = tokio::task::spawn_blocking(move || Server::start(SERVE, &environment)).await.expect("a server");
}

/// Each of the three dies before one dies again; the pooler, which chat does not use, less often. With more than three,
/// servers are also stopped.
fn faults(count: usize, rng: &mut StdRng) -> Vec<Fault> {
    use Fault::{KillPooler, KillPostgres, KillService, StopPooler, StopPostgres};
    let mut faults = vec![KillService, KillPostgres];
    faults.shuffle(rng);
    faults.push(KillPooler);
    let more = [KillService, KillService, KillPostgres, KillPostgres, KillPooler, StopPooler, StopPostgres];
    while faults.len() < count {
        faults.push(*more.choose(rng).expect("a fault"));
    }
    faults.truncate(count);
    faults
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

fn report(read: &[Reader], booked: &[Booked]) {
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
    let (jobs, repeated) =
        booked.iter().fold((0, 0), |(jobs, repeated), one| (jobs + one.jobs.len(), repeated + one.repeated));
    println!("{jobs} bookings, each cancelled; {repeated} requests repeated");
}

/// A chat's messages by seq: id and clientMessageId.
type Stored = HashMap<String, Vec<(i64, String, String)>>;

async fn stored(session: &mut PgConnection, chats: &[Chat]) -> Stored {
    let ids: Vec<_> = chats.iter().map(|chat| chat.id.clone()).collect();
    let sql = "select chat_id::text, seq, id::text, sender_id || ' ' || client_message_id from stm.messages
               where chat_id = any($1::uuid[]) order by chat_id, seq";
    let rows = sqlx::query(sql).bind(&ids).fetch_all(&mut *session).await.expect("the messages");
    let mut stored = Stored::new();
    for row in &rows {
        stored.entry(row.get(0)).or_default().push((row.get(1), row.get(2), row.get(3)));
    }
    let sql = "select id::text, last_seq from stm.chats where id = any($1::uuid[])";
    let last: Vec<(String, i64)> = sqlx::query_as(sql).bind(&ids).fetch_all(session).await.expect("the chats");
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
        assert!(reader.repeats.is_empty(), "{} messages came twice on one socket", reader.repeats.len());
        let expected = stored[&chat.id].iter().map(|(_, id, _)| id);
        assert!(expected.eq(&reader.history), "a reader of {} has not its history", chat.id);
    }
}

/// Each booking that was answered is there once, and cancelled; nothing else is.
async fn assert_bookings(session: &mut PgConnection, booked: &[Booked]) {
    for Booked { customer, jobs, .. } in booked {
        let stored: Vec<(i64, String)> = sqlx::query_as(
            "select j.id, j.status from stm.jobs j join stm.customers c on c.id = j.customer_id where c.user_id = $1 order by j.id",
        )
        .bind(customer.id)
        .fetch_all(&mut *session)
        .await
        .expect("the jobs");
        let promised: Vec<_> = jobs.iter().map(|job| (*job, "cancelled".to_owned())).collect();
        assert_eq!(stored, promised, "the jobs of {}", customer.id);
    }
}

/// Memory is flat while the load lasts, and goes back once it has ended.
async fn assert_memory(idle_kib: f64, samples: &[f64], pid: u32) {
    let median = |samples: &[f64]| {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    let quarter = samples.len().div_ceil(4);
    let (early, late) = (median(&samples[..quarter]), median(&samples[samples.len() - quarter..]));
    let started = Instant::now();
    let mut after = resident_kib(pid);
    while after > 1.5 * idle_kib && started.elapsed() < 3 * PATIENCE {
        sleep(Duration::from_secs(1)).await;
        after = resident_kib(pid);
    }
    println!(
        "resident: idle {:.0} MiB, under load early {:.0}, late {:.0}, after the load {:.0} ({:?})",
        idle_kib / 1024.0,
        early / 1024.0,
        late / 1024.0,
        after / 1024.0,
        started.elapsed()
    );
    assert!(late < 1.25 * early, "memory grows under a steady load");
    assert!(after <= 1.5 * idle_kib, "memory stays after the load");
}
