//! The service and pgbench in turn, so that the machine's noise hits both.

use std::time::Duration;

use testing::Database;
use testing::report::{Figure, say, setting};
use testing::usage::Times;
use tokio::time::sleep;

use crate::CONNECTIONS;
use crate::load::load;
use crate::service::Service;
use crate::workloads::Workload;

/// More requests or transactions than a round has.
const NUMBERS_PER_ROUND: usize = 250_000;

const WARM_UP: Duration = Duration::from_secs(2);

/// What one side reached in a round.
struct Reached {
    per_s: f64,
    /// Of the side itself, of the pooler and of PostgreSQL, for each request or transaction.
    cpu_us: Times,
}

/// Compares in rounds. Returns what matters most, and the rest.
pub async fn compare(
    service: &Service,
    database: &Database,
    workload: &mut Workload<'_>,
) -> (Vec<Figure>, Vec<Figure>) {
    let rounds: usize = setting("BENCH_ROUNDS", 5);
    let duration = Duration::from_secs(setting("BENCH_ROUND_S", 4));
    let (mut requests, mut transactions) = (Vec::new(), Vec::new());
    ask_service(service, database, workload, WARM_UP, 0).await;
    ask_pgbench(service, database, workload, WARM_UP, 0);
    for round in 1..=rounds {
        // Who begins changes.
        for is_service in [round % 2 == 1, round % 2 == 0] {
            if is_service {
                requests.push(ask_service(service, database, workload, duration, round).await);
            } else {
                transactions.push(ask_pgbench(service, database, workload, duration, round));
            }
        }
        let (request, transaction) = (&requests[round - 1], &transactions[round - 1]);
        say(&format!(
            "{}, round {round}: {:.0} requests/s, {:.0} transactions/s",
            workload.name, request.per_s, transaction.per_s
        ));
    }
    figures(workload, &requests, &transactions)
}

async fn ask_service(
    service: &Service,
    database: &Database,
    workload: &Workload<'_>,
    duration: Duration,
    round: usize,
) -> Reached {
    let parties = service.parties();
    let (jobs, before) = (count_jobs(database).await, parties.times());
    let reached = load(service.port, CONNECTIONS, duration, round * NUMBERS_PER_ROUND, &workload.request).await;
    // Some transactions are rolled back behind the scenes.
    sleep(Duration::from_millis(300)).await;
    let after = parties.times();
    let made = count_jobs(database).await - jobs;
    let expected = if workload.makes_jobs { reached.requests } else { 0 };
    assert_eq!(usize::try_from(made), Ok(expected), "new jobs after {} requests", reached.requests);
    let cpu_us = std::array::from_fn(|party| (after[party] - before[party]) / reached.requests as f64);
    Reached { per_s: reached.per_s, cpu_us }
}

fn ask_pgbench(
    service: &Service,
    database: &Database,
    workload: &mut Workload<'_>,
    duration: Duration,
    round: usize,
) -> Reached {
    let parties = service.parties();
    workload.transaction.set("first", (round * NUMBERS_PER_ROUND).to_string());
    let before = parties.times();
    let reached = workload.transaction.run(duration, &database.database_url());
    let after = parties.times();
    let of = |party: usize| (after[party] - before[party]) / reached.count;
    Reached { per_s: reached.per_s, cpu_us: [reached.cpu_us, of(1), of(2)] }
}

async fn count_jobs(database: &Database) -> i64 {
    let count = sqlx::query_scalar("select count(*) from stm.jobs").fetch_one(&mut database.session().await).await;
    count.expect("a count")
}

fn figures(workload: &Workload<'_>, requests: &[Reached], transactions: &[Reached]) -> (Vec<Figure>, Vec<Figure>) {
    let name = workload.name;
    let rates = |side: &[Reached]| side.iter().map(|reached| reached.per_s).collect::<Vec<_>>();
    let ratio = requests.iter().zip(transactions).map(|(one, other)| 100.0 * one.per_s / other.per_s).collect();
    let ratio = Figure::new(format!("{name}: requests/s of pgbench's transactions/s"), "%", ratio);
    let cpu = |side: &[Reached], party: usize, what: &str| {
        let values = side.iter().map(|reached| reached.cpu_us[party]).collect();
        Figure::new(format!("{name}: CPU of {what}"), "us", values)
    };
    let heads = vec![
        match workload.min_percent {
            Some(least) => ratio.at_least(least),
            None => ratio,
        },
        cpu(requests, 0, "the service per request").at_most(150.0),
        cpu(requests, 1, "the pooler per request"),
        cpu(requests, 2, "PostgreSQL per request"),
    ];
    let details = vec![
        Figure::new(format!("{name}: the service, requests/s"), "", rates(requests)),
        Figure::new(format!("{name}: pgbench, transactions/s"), "", rates(transactions)),
        cpu(transactions, 0, "pgbench per transaction"),
        cpu(transactions, 1, "the pooler per transaction"),
        cpu(transactions, 2, "PostgreSQL per transaction"),
    ];
    (heads, details)
}
