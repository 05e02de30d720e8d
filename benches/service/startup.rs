//! From the start of the process to the first 200 of `/readyz`, and the size of the program.

use testing::Database;
use testing::report::{Aim, Figure, say};

use crate::aims::{Line, Tables};
use crate::is_wanted;
use crate::service::Service;

const EMPTY_STARTS: usize = 3;
const MIGRATED_STARTS: usize = 10;

pub async fn section(tables: &mut Tables) {
    if !is_wanted("startup") {
        return;
    }
    say("starting the service on empty databases, then on a migrated one");
    let mut empty = Vec::new();
    for _ in 0..EMPTY_STARTS {
        empty.push(start(&Database::create().await));
    }
    let database = Database::create().await;
    start(&database);
    let migrated = (0..MIGRATED_STARTS).map(|_| start(&database)).collect();
    let program = std::fs::metadata(env!("CARGO_BIN_EXE_serve")).expect("the program");
    tables.aims.extend([
        Line::new("start to ready, migrations applied", "ms", migrated).aim(Aim::AtMost(100.0)),
        Line::new("size of the program", "MB", vec![program.len() as f64 / 1e6]).aim(Aim::AtMost(70.0)),
    ]);
    tables.details.push(Figure::new("start to ready, empty database", "ms", empty));
}

fn start(database: &Database) -> f64 {
    let service = Service::start(database);
    let ready_after = service.ready_after;
    service.stop();
    ready_after.as_secs_f64() * 1e3
}
