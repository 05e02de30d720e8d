//! Servers that stand still under load: every request is answered in bounded time, with success or with 503.

use std::time::{Duration, Instant};

use testing::world::{Answer, World};
use testing::{Database, PATIENCE, Stack};
use tokio::time::sleep;

use crate::support::{SERVE, Scene};

/// With `STATEMENT_TIMEOUT_S=1` an answer comes within 4 s; the rest is for a busy machine. The doors' own limits are 10 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// `/readyz` answers within 2 s; the rest is for a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(5);

const CALLERS: usize = 24;

/// Reads, transactions that read, and transactions that write.
async fn call(scene: &Scene, n: usize) -> Answer {
    match n % 3 {
        0 => scene.world.get("/services").await,
        1 => scene.world.get_as(&scene.customer, "/customer/profile").await,
        _ => scene.world.patch_as(&scene.customer, "/notifications/mark-all-read").await,
    }
}

/// Calls until `until`. Returns how many were refused.
async fn keep_calling(scene: &Scene, n: usize, until: Instant) -> usize {
    let mut refused = 0;
    while Instant::now() < until {
        let started = Instant::now();
        let answer = call(scene, n).await;
        let elapsed = started.elapsed();
        assert!(elapsed < ANSWER_WITHIN, "{n}: {} after {elapsed:?}", answer.status);
        if answer.status == 503 {
            assert!(answer.headers.contains_key("retry-after"), "{n}: {}", answer.body);
            assert_eq!(answer.body["code"], "unavailable", "{n}");
            refused += 1;
        } else {
            assert!(answer.status.is_success(), "{n}: {} {}", answer.status, answer.body);
        }
    }
    refused
}

async fn until_served(scene: &Scene) {
    let started = Instant::now();
    for n in 0..CALLERS {
        while !call(scene, n).await.status.is_success() {
            assert!(started.elapsed() < PATIENCE, "not served again");
            sleep(Duration::from_millis(50)).await;
        }
    }
    while scene.world.get("/readyz").await.status != 200 {
        assert!(started.elapsed() < PATIENCE, "not ready again");
    }
}

async fn serve(stack: &Stack, database: Database, wire: &str) {
    let settings = [("POOLER_WIRE", wire), ("STATEMENT_TIMEOUT_S", "1"), ("POOLER_MAX_CONNECTIONS", "8")];
    let scene = Scene::on(World::start_on(SERVE, database, &settings).await).await;
    for server in ["pooler", "postgres"] {
        let until = Instant::now() + Duration::from_secs(5);
        let trouble = async {
            sleep(Duration::from_millis(500)).await;
            let stopped = stack.stop(server);
            sleep(Duration::from_millis(500)).await;
            let started = Instant::now();
            let ready = scene.world.get("/readyz").await;
            let elapsed = started.elapsed();
            assert_eq!(ready.status, 503, "{wire} {server}: {}", ready.body);
            assert_eq!(ready.body["pooler"], "unavailable", "{wire} {server}");
            assert!(elapsed < READY_WITHIN, "{wire} {server}: {elapsed:?}");
            stopped
        };
        let callers = futures_util::future::join_all((0..CALLERS).map(|n| keep_calling(&scene, n, until)));
        let (stopped, refused) = tokio::join!(trouble, callers);
        drop(stopped);
        println!("{wire} {server}: {} refused", refused.iter().sum::<usize>());
        assert!(refused.iter().all(|refused| *refused > 0), "{wire} {server}: {refused:?}");
        until_served(&scene).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_comes_in_time() {
    let stack = Stack::up().await;
    for wire in ["pipelined", "plain"] {
        serve(&stack, stack.database().await, wire).await;
    }
}
