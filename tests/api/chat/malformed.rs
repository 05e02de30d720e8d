//! Frames that no client sends. `MALFORMED_FRAMES=1000000` sends more of them, by hand: `make fuzz` does.

use std::time::Duration;

use serde_json::json;
use testing::PATIENCE;
use testing::usage::resident_kib;
use testing::world::World;
use tokio::time::{Instant, sleep};

use crate::support::{CHATS_WITH_GAPS, SERVE, Scene, who};

/// How many frames are sent unless `MALFORMED_FRAMES` says otherwise.
const FRAMES: u64 = 50_000;

/// How much the server may hold more than before, once the senders have gone.
const MAX_GROWTH_KIB: f64 = 48.0 * 1024.0;

#[tokio::test(flavor = "multi_thread")]
async fn malformed_frames_disturb_nobody() {
    let frames = std::env::var("MALFORMED_FRAMES").map_or(FRAMES, |frames| frames.parse().expect("a number"));
    let scene = Scene::on(World::start(SERVE).await).await.book().await;
    let world = &scene.world;
    let (neighbour, other) = (world.customer().await, world.provider("House cleaning").await);
    let booked = world.book(&neighbour, &other).await;
    let arguments = |frames: u64, seed: u64| {
        json!({
            "attackers": [who(&scene.customer), who(&scene.provider.user)], "chatId": scene.chat, "frames": frames, "seed": seed,
            "neighbour": who(&neighbour), "partner": who(&other.user), "neighboursChatId": booked["chat"]["id"],
        })
    };
    // The first ones warm up what stays: connections to the database, the allocator's arenas.
    world.client("malformed.mjs", &arguments(2000, 0)).await;
    let before = resident_kib(world.server.pid());
    for round in 1..=frames.div_ceil(FRAMES) {
        let report = world.client("malformed.mjs", &arguments(frames.min(FRAMES), round)).await;
        println!("round {round}: {report}, {} KiB resident", resident_kib(world.server.pid()));
        assert!(report["said"].as_u64() > Some(10), "the neighbour chats all the while: {report}");
    }
    let started = Instant::now();
    while resident_kib(world.server.pid()) > before + MAX_GROWTH_KIB {
        assert!(started.elapsed() < PATIENCE, "{} KiB resident, {before} before", resident_kib(world.server.pid()));
        sleep(Duration::from_millis(100)).await;
    }
    assert!(!world.server.output().contains("panicked"), "{}", world.server.output());
    assert_eq!(world.number(CHATS_WITH_GAPS).await, 0);
}
