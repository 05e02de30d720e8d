//! What the service costs and carries, on the real `serve` process, beside the Fastify peer of `benches/peer` and beside
//! pgbench with the same statements, all through the same pooler: processor time, rates, memory, start-up time; then
//! the ten most used reads on much data.
//!
//! Run by `scripts/bench`, on a database stack of its own; it documents the variables that say what is run and how long.
//! `POOLER_MAX_CONNECTIONS` (default 32) is the service's, and as many are pgbench's clients; `POOLER_WIRE` is the
//! service's own.

#![allow(clippy::expect_used, missing_docs, reason = "a bench fails by panicking")]
#![allow(clippy::cast_precision_loss, reason = "figures are printed with three digits")]

use std::time::Instant;

use testing::report::{self, setting};

use aims::Tables;
use reads::Marketplace;

mod aims;
mod booking;
mod compare;
mod load;
mod messages;
mod office;
mod peer;
mod reads;
mod rest;
mod same;
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
    // `cargo test --benches` only wants to know that it starts: every statement that pgbench and the peer get is still the
    // service's.
    if !std::env::args().any(|argument| argument == "--bench") {
        booking::booking(&[]);
        workloads::profile(&[]);
        reads::transactions();
        peer::the_services_statements();
        return;
    }
    // One thread for the whole load, so that the service has the other processors.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let (machine, started) = (report::machine(), Instant::now());
    let mut tables = Tables::default();
    rest::section(&mut tables).await;
    messages::section(&mut tables).await;
    let mut marketplaces = None;
    let mut reads = None;
    if ["reads", "office"].into_iter().any(is_wanted) {
        let (small, large) = (Marketplace::create(reads::SMALL).await, Marketplace::create(reads::LARGE).await);
        reads = reads::section(&small, &large, &mut tables).await;
        marketplaces = Some((small, large));
    }
    startup::section(&mut tables).await;

    if !tables.aims.is_empty() {
        aims::print(&tables.aims, peer::missing());
    }
    if !tables.details.is_empty() {
        report::print(&tables.details);
    }
    println!(
        "\n{machine}; {:.0?} so far. {CONNECTIONS} connections. pgbench: {} clients, as many as the service has\n\
         connections to the pooler, -M extended. Pooler: {} servers.",
        started.elapsed(),
        pooler_connections(),
        setting("POOLER_POOL_SIZE", DEFAULT_POOL_SIZE),
    );
    reads.iter().for_each(reads::print);
    if let Some((small, large)) = marketplaces {
        office::section(&small, &large).await;
    }
}

/// Whether `BENCH_ONLY` names this part, or nothing.
fn is_wanted(part: &str) -> bool {
    std::env::var("BENCH_ONLY").map_or(true, |only| only.is_empty() || only.split(',').any(|wanted| wanted == part))
}

/// The service's connections to the pooler, and so pgbench's clients.
fn pooler_connections() -> usize {
    setting("POOLER_MAX_CONNECTIONS", 32)
}
