//! What the relay to the pooler (`src/relay`) saves and what it costs: the same operations on a direct connection,
//! through the pooler as sqlx speaks, and through the pooler by the relay.
//!
//! Run by `scripts/bench`, on a database stack of its own, whose pooler it restarts with other numbers of servers.
//! `BENCH_RELAY_S` (default 2) says how many seconds a measurement takes, all rounds together; `BENCH_RELAY_ROUNDS`
//! (default 3) how many those are. A round measures everything once, the three ways by turns.

#![allow(clippy::expect_used, missing_docs, reason = "a bench fails by panicking")]
#![allow(clippy::cast_precision_loss, reason = "figures are printed with three digits")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::sleep;

use operations::{Door, Operation, ROWS, Way};
use testing::report::{Figure, median, say, setting, sorted};
use testing::usage::{Parties, Times};
use testing::{Database, report, shared_stack};

#[path = "relay/delay.rs"]
mod delay;
#[path = "relay/operations.rs"]
mod operations;

/// Each way, one at a time.
const LATENCY_DELAYS_MS: [u64; 3] = [0, 1, 5];

/// Each way, many at a time.
const LOAD_DELAYS_MS: [u64; 2] = [0, 5];
const LOAD_TASKS: usize = 64;

/// The pooler's servers; with the most of them latency and CPU are measured too.
const POOLS: [u32; 2] = [4, FULL_POOL];
const FULL_POOL: u32 = 15;

/// As many as the service has; `Direct` allows no more.
const DIRECT_CONNECTIONS: usize = 15;

const CPU_TASKS: usize = 16;
const CPU_OPERATIONS: [Operation; 3] = [Operation::Read, Operation::ReadTx, Operation::WriteOne];

/// The delay of the aims.
const FAR_MS: u64 = 5;

fn main() {
    // `cargo test --benches` only wants to know that it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let started = Instant::now();
    let mut bench = Bench::new();
    for round in 0..bench.rounds {
        for pool in POOLS {
            bench.round(round, pool);
        }
    }
    bench.print(started.elapsed());
}

/// Values of all rounds, by what was measured.
type Figures<K, V> = BTreeMap<K, Vec<V>>;

struct Bench {
    /// As many threads as the service has.
    runtime: tokio::runtime::Runtime,
    rounds: usize,
    /// How long a measurement takes in one round.
    slice: Duration,
    /// Before the run.
    machine: String,
    database: Database,
    /// Of PostgreSQL and of the pooler, by milliseconds of delay.
    ports: BTreeMap<u64, [u16; 2]>,
    /// One round trip: milliseconds by delay.
    trips: Figures<u64, f64>,
    latencies: Figures<(Operation, u64, Way), Latency>,
    /// Operations per second by delay and servers of the pooler.
    rates: Figures<(Operation, u64, u32, Way), f64>,
    /// Microseconds per operation.
    times: Figures<(Operation, Way), Times>,
}

/// The median of a round.
#[derive(Debug, Clone, Copy)]
struct Latency {
    ms: f64,
    /// Round trips, as measured just before.
    trips: f64,
}

/// What many tasks reached.
struct Reached {
    per_s: f64,
    times: Times,
}

impl Bench {
    fn new() -> Self {
        let rounds = setting("BENCH_RELAY_ROUNDS", 3);
        let seconds = Duration::from_secs(setting("BENCH_RELAY_S", 2));
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let database = runtime.block_on(async {
            let database = Database::create().await;
            operations::create_table(&database).await;
            database
        });
        let port = |url: String| url::Url::parse(&url).ok().and_then(|url| url.port()).expect("a port");
        let servers = [port(database.direct_url()), port(database.database_url())];
        let ports = LATENCY_DELAYS_MS.into_iter().map(|delay_ms| match delay_ms {
            0 => (delay_ms, servers),
            _ => (delay_ms, servers.map(|server| delay::start(server, Duration::from_millis(delay_ms)))),
        });
        Self {
            rounds,
            slice: seconds / u32::try_from(rounds).expect("a few"),
            machine: report::machine(),
            ports: ports.collect(),
            runtime,
            database,
            trips: Figures::new(),
            latencies: Figures::new(),
            rates: Figures::new(),
            times: Figures::new(),
        }
    }

    /// Measures everything that is measured with so many servers of the pooler.
    fn round(&mut self, round: usize, pool: u32) {
        shared_stack("restart-pooler", &[("POOLER_POOL_SIZE", &pool.to_string())]);
        let mut ways = Way::ALL.to_vec();
        // Who begins changes.
        ways.rotate_left(round % Way::ALL.len());
        if pool == FULL_POOL {
            for delay_ms in LATENCY_DELAYS_MS {
                self.measure_latencies(delay_ms, &ways);
            }
        } else {
            // The pooler's servers are nothing to direct connections.
            ways.retain(|way| *way != Way::Direct);
        }
        for delay_ms in LOAD_DELAYS_MS {
            self.measure_load(delay_ms, pool, &ways, pool == FULL_POOL && delay_ms == 0);
        }
        say(&format!("round {} with {pool} servers is done", round + 1));
    }

    fn open(&self, ways: &[Way], delay_ms: u64, connections: usize) -> Vec<(Way, Door)> {
        let _within = self.runtime.enter();
        let open = |way: Way| {
            let most = if way == Way::Direct { DIRECT_CONNECTIONS } else { LOAD_TASKS };
            Door::open(way, &self.database, self.ports[&delay_ms], connections.min(most))
        };
        ways.iter().map(|way| (*way, open(*way))).collect()
    }

    fn measure_latencies(&mut self, delay_ms: u64, ways: &[Way]) {
        let doors = self.open(ways, delay_ms, 1);
        let pause = Duration::from_millis(2 * delay_ms + 1);
        // Reading and writing are done by the runtime's threads, as in the service.
        let measure = |door: &Door, operation, slice| {
            let door = door.clone();
            let latency = self.runtime.spawn(async move { median_ms(&door, operation, slice, pause).await });
            self.runtime.block_on(latency).expect("a task")
        };
        let (_, direct) = doors.iter().find(|(way, _)| *way == Way::Direct).expect("all ways");
        for operation in Operation::ALL {
            let trip_ms = measure(direct, None, self.slice / 4);
            self.trips.entry(delay_ms).or_default().push(trip_ms);
            for (way, door) in &doors {
                let ms = measure(door, Some(operation), self.slice / 2);
                let latency = Latency { ms, trips: ms / trip_ms };
                self.latencies.entry((operation, delay_ms, *way)).or_default().push(latency);
            }
        }
    }

    fn measure_load(&mut self, delay_ms: u64, pool: u32, ways: &[Way], with_times: bool) {
        let doors = self.open(ways, delay_ms, LOAD_TASKS);
        let parties = Parties::find(std::process::id());
        let measure =
            |door: &Door, operation, tasks| self.runtime.block_on(reach(door, operation, tasks, self.slice, parties));
        for (_, door) in &doors {
            // Makes the connections.
            self.runtime.block_on(join_all((0..LOAD_TASKS).map(|id| door.run(Operation::Read, id))));
        }
        for operation in Operation::ALL {
            for (way, door) in &doors {
                let reached = measure(door, operation, LOAD_TASKS);
                self.rates.entry((operation, delay_ms, pool, *way)).or_default().push(reached.per_s);
            }
        }
        drop(doors);
        if with_times {
            self.measure_times(parties);
        }
    }

    fn measure_times(&mut self, parties: Parties) {
        let doors = self.open(&Way::MEASURED, 0, CPU_TASKS);
        for (_, door) in &doors {
            self.runtime.block_on(async {
                door.ask_role().await;
                join_all((0..CPU_TASKS).map(|id| door.run(Operation::Read, id))).await;
            });
        }
        for operation in CPU_OPERATIONS {
            for (way, door) in &doors {
                let reached = self.runtime.block_on(reach(door, operation, CPU_TASKS, self.slice, parties));
                self.times.entry((operation, *way)).or_default().push(reached.times);
            }
        }
    }
}

/// The median of an operation, or of `select 1`, one at a time. Between two there is a pause of a round trip, in which
/// a connection whose transaction was dropped comes back to its pool: a caller does not wait for that.
async fn median_ms(door: &Door, operation: Option<Operation>, slice: Duration, pause: Duration) -> f64 {
    const WARM_UP: usize = 3;
    let mut latencies = Vec::new();
    let mut end = Instant::now() + slice;
    for n in 0.. {
        let began = Instant::now();
        if n == WARM_UP {
            end = began + slice;
        } else if n > WARM_UP && began >= end {
            break;
        }
        match operation {
            Some(operation) => door.run(operation, n * 7919).await,
            None => door.ping().await,
        }
        latencies.push(began.elapsed().as_secs_f64() * 1e3);
        sleep(pause).await;
    }
    median(latencies.split_off(WARM_UP))
}

/// What so many tasks reach at once; the first fifth of the time does not count.
async fn reach(door: &Door, operation: Operation, tasks: usize, slice: Duration, parties: Parties) -> Reached {
    let done = Arc::new(AtomicUsize::new(0));
    let warm = Instant::now() + slice / 5;
    let end = warm + slice * 4 / 5;
    let running: Vec<_> = (0..tasks)
        .map(|task| {
            let (door, done) = (door.clone(), done.clone());
            tokio::spawn(async move {
                for n in 0.. {
                    if Instant::now() >= end {
                        break;
                    }
                    // Every task has rows of its own.
                    door.run(operation, task + tasks * (n % (ROWS / tasks))).await;
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let now = || (Instant::now(), done.load(Ordering::Relaxed), parties.times());
    sleep(warm - Instant::now()).await;
    let (began, done_before, times_before) = now();
    sleep(end - Instant::now()).await;
    let (ended, done_after, times_after) = now();
    for task in join_all(running).await {
        task.expect("a task");
    }
    let operations = (done_after - done_before) as f64;
    assert!(operations > 0.0, "{}: nothing was done in {slice:?}", operation.name());
    Reached {
        per_s: operations / (ended - began).as_secs_f64(),
        times: std::array::from_fn(|party| (times_after[party] - times_before[party]) / operations),
    }
}

// --- the table ---------------------------------------------------------------------------------

impl Bench {
    fn print(&self, took: Duration) {
        self.print_latencies();
        self.print_rates();
        self.print_times();
        println!("\n{}; {took:.0?} in all.", self.machine);
        println!("{} rounds in turn: medians (least–most). Without delay there is no proxy.", self.rounds);
        println!(
            "A round trip: the median of a prepared `select 1` on a direct connection through the same delay,\n\
             measured just before. The proxy's clock ticks in milliseconds, so that it is more than twice the delay.\n\
             At once: {LOAD_TASKS} tasks on as many client connections, direct {DIRECT_CONNECTIONS}.\n\
             CPU: {CPU_TASKS} tasks, no delay, {FULL_POOL} servers; the load is part of the application. Role: it has the limits.\n\
             synchronous_commit is on: a write waits for the disk."
        );
        report::print(&self.aims());
    }

    fn print_latencies(&self) {
        print_row("one at a time, p50", &["direct", "plain", "pipelined"]);
        for (delay_ms, trips) in &self.trips {
            print_row(&format!("a round trip, {delay_ms} ms"), &[format!("{:.2} ms", median(trips.clone()))]);
        }
        for operation in Operation::ALL {
            for delay_ms in LATENCY_DELAYS_MS {
                let cells = Way::ALL.map(|way| {
                    let ms = median(self.latency(operation, delay_ms, way, |latency| latency.ms));
                    let trips = median(self.latency(operation, delay_ms, way, |latency| latency.trips));
                    if delay_ms == 0 { format!("{ms:.2} ms") } else { format!("{ms:.2} ms = {trips:.2} trips") }
                });
                print_row(&format!("{}, {delay_ms} ms", operation.name()), &cells);
            }
        }
    }

    fn print_rates(&self) {
        println!();
        print_row("at once, operations/s", &["direct", "plain", "pipelined", "pipelined / plain"]);
        for delay_ms in LOAD_DELAYS_MS {
            for pool in POOLS {
                for operation in Operation::ALL {
                    let rate = |way| self.rates.get(&(operation, delay_ms, pool, way));
                    let [direct, plain, pipelined] =
                        Way::ALL.map(|way| rate(way).map_or_else(String::new, |values| spread(values.clone(), 0)));
                    let ratio = spread(self.ratios(operation, delay_ms, pool), 2);
                    let name = format!("{}, {delay_ms} ms, {pool} servers", operation.name());
                    print_row(&name, &[direct, plain, pipelined, ratio]);
                }
            }
        }
    }

    fn print_times(&self) {
        println!();
        print_row("CPU us: app+pooler+database", &["direct", "plain", "pipelined", "plain, role", "pipelined, role"]);
        for operation in CPU_OPERATIONS {
            let cells = Way::MEASURED.map(|way| {
                let times = &self.times[&(operation, way)];
                let [app, pooler, postgres] =
                    [0, 1, 2].map(|party| median(times.iter().map(|times| times[party]).collect()));
                format!(
                    "{app:.0}+{pooler:.0}+{postgres:.0} = {}",
                    spread(times.iter().map(|times| times.iter().sum()).collect(), 0)
                )
            });
            print_row(operation.name(), &cells);
        }
    }

    fn aims(&self) -> Vec<Figure> {
        let trips = |operation| self.latency(operation, FAR_MS, Way::Pipelined, |latency| latency.trips);
        let name = |what: &str| format!("{what}, {FAR_MS} ms, pipelined: round trips");
        let mut aims = vec![
            Figure::new(name("read"), "", trips(Operation::Read)).at_most(1.1),
            Figure::new(name("write 1"), "", trips(Operation::WriteOne)).at_most(2.2),
        ];
        let mut ratio = |operation: Operation, delay_ms, pool, least| {
            let what = format!("{}, {delay_ms} ms, {pool} servers: pipelined / plain", operation.name());
            aims.push(Figure::new(what, "", self.ratios(operation, delay_ms, pool)).at_least(least));
        };
        ratio(Operation::ReadTx, FAR_MS, POOLS[0], 2.5);
        ratio(Operation::WriteOne, FAR_MS, POOLS[0], 2.5);
        for pool in POOLS {
            for operation in Operation::ALL {
                ratio(operation, 0, pool, 1.0);
            }
        }
        aims
    }

    fn latency(&self, operation: Operation, delay_ms: u64, way: Way, value: fn(&Latency) -> f64) -> Vec<f64> {
        self.latencies[&(operation, delay_ms, way)].iter().map(value).collect()
    }

    /// Operations per second with the relay, of those without it, round by round.
    fn ratios(&self, operation: Operation, delay_ms: u64, pool: u32) -> Vec<f64> {
        let rates = |way| &self.rates[&(operation, delay_ms, pool, way)];
        rates(Way::Pipelined).iter().zip(rates(Way::Plain)).map(|(pipelined, plain)| pipelined / plain).collect()
    }
}

fn print_row(name: &str, cells: &[impl std::fmt::Display]) {
    print!("{name:<27}");
    for cell in cells {
        print!(" {cell:>28}");
    }
    println!();
}

/// The median, and the extremes.
fn spread(values: Vec<f64>, decimals: usize) -> String {
    let values = sorted(values);
    let (least, most) = (values[0], values[values.len() - 1]);
    format!("{:.decimals$} ({least:.decimals$}–{most:.decimals$})", median(values))
}
