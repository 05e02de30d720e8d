//! From the start of the process to the first 200 of `/readyz`.

use testing::Database;
use testing::report::Figure;

use crate::service::Service;

const EMPTY_STARTS: usize = 3;
const MIGRATED_STARTS: usize = 10;

pub async fn measure() -> [Figure; 2] {
    let mut empty = Vec::new();
    for _ in 0..EMPTY_STARTS {
        empty.push(start(&Database::create().await));
    }
    let database = Database::create().await;
    start(&database);
    let migrated = (0..MIGRATED_STARTS).map(|_| start(&database)).collect();
    [
        Figure::new("start to ready, migrations applied", "ms", migrated).at_most(100.0),
        Figure::new("start to ready, empty database", "ms", empty),
    ]
}

fn start(database: &Database) -> f64 {
    let service = Service::start(database);
    let ready_after = service.ready_after;
    service.stop();
    ready_after.as_secs_f64() * 1e3
}
