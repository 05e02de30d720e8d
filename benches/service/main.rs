//! What the service costs and carries, on the real `serve` process: requests per second as a fraction of what pgbench
//! reaches with the same statements through the same pooler, processor time, start-up time, memory; then the ten most
//! used reads on much data.
//!
//! Run by `scripts/bench`, on a database stack of its own. `BENCH_ROUNDS` (default 5) and `BENCH_ROUND_S` (default 4
//! seconds a side) say how long; for the reads, `BENCH_READS_ROUNDS` and `BENCH_READS_S` (default 2 and 2).
//! `POOLER_MAX_CONNECTIONS` (default 32) is the service's, and as many are pgbench's clients; `POOLER_WIRE` is the
//! service's own.

#![allow(clippy::expect_used, missing_docs, reason = "a bench fails by panicking")]
#![allow(clippy::cast_precision_loss, reason = "figures are printed with three digits")]

use std::time::{Duration, Instant};

use testing::Database;
use testing::report::{self, Figure, say, setting};

use service::Service;

mod booking;
mod compare;
mod load;
mod office;
mod reads;
mod service;
mod startup;
mod tokens;
mod transactions;
mod workloads;

/// The pooler's servers, unless `POOLER_POOL_SIZE` is set: the default of `scripts/stack`.
const DEFAULT_POOL_SIZE: usize = 4;

/// Connections of the load.
const CONNECTIONS: usize = 64;

fn main() {
    // `cargo test --benches` only wants to know that it starts: every statement that pgbench gets is still the service's.
    if !std::env::args().any(|argument| argument == "--bench") {
        booking::booking(&[]);
        workloads::profile(&[]);
        reads::transactions();
        return;
    }
    // One thread for the whole load, so that the service has the other processors.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let (machine, started) = (report::machine(), Instant::now());
    say("starting the service on empty databases, then on a migrated one");
    let startup = startup::measure().await;

    let database = Database::create().await;
    Service::start(&database).stop();
    let tokens = workloads::seed(&database).await;
    let service = Service::start(&database);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = service.resident_mib();
    let mut figures = Vec::new();
    for mut workload in [workloads::profile(&tokens), booking::booking(&tokens)] {
        figures.push(compare::compare(&service, &database, &mut workload).await);
    }
    let loaded = service.resident_mib();
    service.stop();

    let (heads, details): (Vec<_>, Vec<_>) = figures.into_iter().unzip();
    let memory = [
        Figure::new("resident memory, idle", "MiB", vec![idle]).at_most(20.0),
        Figure::new("resident memory, after the load", "MiB", vec![loaded]).at_most(40.0),
    ];
    let table: Vec<_> =
        heads.into_iter().flatten().chain(startup).chain(memory).chain(details.into_iter().flatten()).collect();
    report::print(&table);
    println!(
        "\n{machine}; {:.0?} so far. {CONNECTIONS} connections. pgbench: {} clients, as many as the\n\
         service has connections to the pooler (POOLER_MAX_CONNECTIONS), -M extended. CPU: of the service or of pgbench,\n\
         of the pooler, of PostgreSQL; for each request or transaction. Pooler: {} servers.",
        started.elapsed(),
        pooler_connections(),
        setting("POOLER_POOL_SIZE", DEFAULT_POOL_SIZE),
    );
    reads::section().await;
}

/// The service's connections to the pooler, and so pgbench's clients.
fn pooler_connections() -> usize {
    setting("POOLER_MAX_CONNECTIONS", 32)
}
