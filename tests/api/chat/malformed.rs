//! Frames that no client sends. `MALFORMED_FRAMES=1000000` sends more of them, by hand: `make fuzz` does.

use std::time::Duration;

use serde_json::json;
use testing::PATIENCE;
use testing::chats;
use testing::usage::resident_kib;
use tokio::time::{Instant, sleep};

use crate::support::{Scene, who};

/// How many frames are sent unless `MALFORMED_FRAMES` says otherwise.
const FRAMES: u64 = 50_000;

/// How many users send them.
const ATTACKERS: usize = 64;

/// How much the server may hold more than before, once the senders have gone.
const MAX_GROWTH_KIB: f64 = 48.0 * 1024.0;

#[tokio::test(flavor = "multi_thread")]
async fn malformed_frames_disturb_nobody() {
    let frames = std::env::var("MALFORMED_FRAMES").map_or(FRAMES, |frames| frames.parse().expect("a number"));
    let scene = Scene::booked().await;
    let world = &scene.world;
    // So many that their events stay below the limits of a user.
    let chats = chats::create(&mut world.database.session().await, ATTACKERS, 1).await;
    let attackers: Vec<_> =
        chats.iter().map(|chat| json!({"token": chat.members[0].token, "chatId": chat.id})).collect();
    let arguments = |frames: u64, seed: u64| {
        json!({
            "attackers": attackers, "frames": frames, "seed": seed,
            "neighbour": who(&scene.customer), "partner": who(&scene.provider.user), "neighboursChatId": scene.chat,
        })
    };
    // The first ones warm up what stays: connections to the database, the allocator's arenas.
    world.client("malformed.mjs", &arguments(2000, 0)).await;
    let before = resident_kib(world.server.pid());
    for round in 1..=frames.div_ceil(FRAMES) {
        let report = world.client("malformed.mjs", &arguments(frames.min(FRAMES), round)).await;
        println!("round {round}: {report}, {} KiB resident", resident_kib(world.server.pid()));
        let processed =
            report["answered"].as_u64().zip(report["fatal"].as_u64()).map(|(answered, fatal)| answered + fatal);
        assert!(processed >= Some(frames.min(FRAMES)), "{report}");
        assert!(report["said"].as_u64() > Some(10), "the neighbour chats all the while: {report}");
    }
    let started = Instant::now();
    while resident_kib(world.server.pid()) > before + MAX_GROWTH_KIB {
        assert!(started.elapsed() < PATIENCE, "{} KiB resident, {before} before", resident_kib(world.server.pid()));
        sleep(Duration::from_millis(100)).await;
    }
    assert!(!world.server.output().contains("panicked"), "{}", world.server.output());
    let with_gaps = "select count(*) from stm.chats c
                     where c.last_seq <> (select count(*) from stm.messages m where m.chat_id = c.id)";
    assert_eq!(world.number(with_gaps).await, 0);
}
