//! The service, the peer and pgbench in turn, so that the machine's noise hits all of them.

use std::time::Duration;

use testing::Database;
use testing::chat_load::Target;
use testing::report::{Aim, Figure, say, setting};
use testing::usage::{Parties, Times};
use tokio::time::sleep;

use crate::CONNECTIONS;
use crate::aims::{Line, Tables};
use crate::load::load;
use crate::workloads::Workload;

/// More requests or transactions than a round has.
const NUMBERS_PER_ROUND: usize = 250_000;

/// Long enough for Node to compile what a booking runs.
const WARM_UP: Duration = Duration::from_secs(5);

/// A server that is compared.
#[derive(Clone, Copy)]
pub struct Side {
    pub name: &'static str,
    pub server: Target,
}

/// What one side reached in a round.
pub struct Reached {
    per_s: f64,
    /// Of the side itself, of the pooler and of PostgreSQL, for each request or transaction.
    cpu_us: Times,
}

/// What is aimed at.
#[derive(Clone, Copy)]
pub enum Measure {
    Server,
    Postgres,
    ServerPoolerAndPostgres,
    PerSecond,
}

impl Measure {
    fn name(self) -> &'static str {
        match self {
            Self::Server => "CPU of the server",
            Self::Postgres => "CPU of PostgreSQL",
            Self::ServerPoolerAndPostgres => "CPU of server, pooler, PostgreSQL",
            Self::PerSecond => "requests/s",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Server | Self::Postgres | Self::ServerPoolerAndPostgres => "us",
            Self::PerSecond => "",
        }
    }

    fn of(self, reached: &Reached) -> f64 {
        match self {
            Self::Server => reached.cpu_us[0],
            Self::Postgres => reached.cpu_us[2],
            Self::ServerPoolerAndPostgres => reached.cpu_us.iter().sum(),
            Self::PerSecond => reached.per_s,
        }
    }
}

/// Compares in rounds. The service is the first side.
pub async fn compare(sides: &[Side], database: &Database, workload: &mut Workload<'_>, tables: &mut Tables) {
    let rounds: usize = setting("BENCH_ROUNDS", 5);
    let duration = Duration::from_secs(setting("BENCH_ROUND_S", 4));
    let mut requests: Vec<Vec<Reached>> = sides.iter().map(|_| Vec::new()).collect();
    let mut transactions = Vec::new();
    // The first round warms up.
    for round in 0..=rounds {
        let duration = if round == 0 { WARM_UP } else { duration };
        let mut turns: Vec<_> = (0..=sides.len()).collect();
        if round % 2 == 1 {
            turns.reverse();
        }
        for turn in turns {
            let (name, reached) = match sides.get(turn) {
                Some(side) => {
                    let first = (1 + round * sides.len() + turn) * NUMBERS_PER_ROUND;
                    (side.name, ask(side.server, database, workload, duration, first).await)
                }
                None => match ask_pgbench(sides[0].server, database, workload, duration, round * NUMBERS_PER_ROUND) {
                    Some(reached) => ("pgbench", reached),
                    None => continue,
                },
            };
            say(&format!("{}, round {round}: {name} {:.0}/s", workload.name, reached.per_s));
            if round > 0 {
                requests.get_mut(turn).unwrap_or(&mut transactions).push(reached);
            }
        }
    }
    tables.aims.extend(workload.aims.iter().map(|aim| line(workload.name, *aim, &requests)));
    details(tables, workload.name, sides, &requests, &transactions);
}

async fn ask(
    server: Target,
    database: &Database,
    workload: &Workload<'_>,
    duration: Duration,
    first: usize,
) -> Reached {
    let parties = Parties::find(server.pid);
    let (jobs, before) = (count_jobs(database).await, parties.times());
    let reached = load(server.port, CONNECTIONS, duration, first, &workload.request).await;
    // Some transactions are still being rolled back in the background.
    sleep(Duration::from_millis(300)).await;
    let after = parties.times();
    let made = count_jobs(database).await - jobs;
    let expected = if workload.makes_jobs { reached.requests } else { 0 };
    assert_eq!(usize::try_from(made), Ok(expected), "new jobs after {} requests", reached.requests);
    let cpu_us = std::array::from_fn(|party| (after[party] - before[party]) / reached.requests as f64);
    Reached { per_s: reached.per_s, cpu_us }
}

/// `None` if there is no transaction to compare with.
fn ask_pgbench(
    idle: Target,
    database: &Database,
    workload: &mut Workload<'_>,
    duration: Duration,
    first: usize,
) -> Option<Reached> {
    let transaction = workload.transaction.as_mut()?;
    let parties = Parties::find(idle.pid);
    transaction.set("first", first.to_string());
    let before = parties.times();
    let reached = transaction.run(duration, &database.service_url());
    let after = parties.times();
    let of = |party: usize| (after[party] - before[party]) / reached.count;
    Some(Reached { per_s: reached.per_s, cpu_us: [reached.cpu_us, of(1), of(2)] })
}

async fn count_jobs(database: &Database) -> i64 {
    let count = sqlx::query_scalar("select count(*) from stm.jobs").fetch_one(&mut database.session().await).await;
    count.expect("a count")
}

fn line(workload: &str, (measure, aim): (Measure, Aim), requests: &[Vec<Reached>]) -> Line {
    let values = |side: &Vec<Reached>| side.iter().map(|reached| measure.of(reached)).collect();
    let service = Line::new(format!("{workload}: {}", measure.name()), measure.unit(), values(&requests[0]));
    requests[1..].iter().fold(service, |line, peer| line.beside(values(peer))).aim(aim)
}

fn details(tables: &mut Tables, workload: &str, sides: &[Side], requests: &[Vec<Reached>], transactions: &[Reached]) {
    if !transactions.is_empty() {
        let ratio = requests[0].iter().zip(transactions).map(|(one, other)| 100.0 * one.per_s / other.per_s).collect();
        tables.details.push(Figure::new(format!("{workload}: requests/s of pgbench's transactions/s"), "%", ratio));
    }
    let names = sides.iter().map(|side| side.name).chain(["pgbench"]);
    let reached = requests.iter().map(Vec::as_slice).chain([transactions]);
    for (name, reached) in names.zip(reached).filter(|(_, reached)| !reached.is_empty()) {
        let of = |value: &dyn Fn(&Reached) -> f64| reached.iter().map(value).collect();
        let figure = |what: &str, unit, values| Figure::new(format!("{workload}, {name}: {what}"), unit, values);
        tables.details.extend([
            figure("per second", "", of(&|reached| reached.per_s)),
            figure("its CPU", "us", of(&|reached| reached.cpu_us[0])),
            figure("CPU of the pooler", "us", of(&|reached| reached.cpu_us[1])),
            figure("CPU of PostgreSQL", "us", of(&|reached| reached.cpu_us[2])),
        ]);
    }
}
