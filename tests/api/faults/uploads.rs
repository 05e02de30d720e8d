//! Many uploads at once, and a store that is away.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use testing::usage::resident_kib;
use testing::world::World;

use crate::support::files::{PDF, png};
use crate::support::{Scene, ask};

const CHAT: &str = "/chat/upload-files";

const UPLOADS: usize = 50;
const LARGEST: usize = 10 * 1024 * 1024;

/// How much memory all of them may take together.
const MOST_KIB: f64 = 128.0 * 1024.0;

#[tokio::test(flavor = "multi_thread")]
async fn many_large_uploads_at_once_take_little_memory() {
    let scene = Scene::booked().await;
    let (world, pid) = (&scene.world, scene.world.server.pid());
    // Each is a file of its own: it begins elsewhere.
    let bytes: &'static [u8] = vec![b'x'; LARGEST].leak();
    let before = resident_kib(pid);
    let uploads = (0..UPLOADS).map(async |number| {
        let form = Form::new().part("files", Part::bytes(&bytes[number..]).file_name(format!("{number}.txt")));
        let request = world.raw(Method::POST, CHAT).bearer_auth(&scene.customer.token).multipart(form);
        World::answer(request).await.expect(201);
    });
    let mut uploads = std::pin::pin!(join_all(uploads));
    let mut most = before;
    loop {
        let sample = tokio::time::sleep(Duration::from_millis(20));
        tokio::select! {
            _ = &mut uploads => break,
            () = sample => most = most.max(resident_kib(pid)),
        }
    }
    let grown = most - before;
    println!("{UPLOADS} uploads of 10 MB at once: {:.0} MiB more", grown / 1024.0);
    assert!(grown < MOST_KIB, "{grown} KiB");
    assert_eq!(world.number("select count(*) from stm.files where state = 'pending'").await, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_store_uploads_fail_and_chat_goes_on() {
    let scene = Scene::booked().await;
    let world = &scene.world;
    let url = world.upload(&scene.customer, CHAT, "files", vec![("a.pdf", PDF.to_vec())], &[]).await.expect(201);
    let url = url["urls"][0].as_str().expect("a URL").to_owned();
    let (there, away) = (world.database.files_dir(), world.database.files_dir().with_extension("away"));
    std::fs::rename(&there, &away).expect("a directory");
    std::fs::write(&there, b"no directory").expect("a file");

    let files = vec![("b.png", png(3, 3))];
    let refused = world.upload(&scene.customer, CHAT, "files", files.clone(), &[]).await.expect(503);
    assert_eq!(refused["code"], "storage_unavailable");
    let [(customer, _), _] = scene.connect().await;
    ask(&customer, "send_message", json!({"chatId": scene.chat, "message": "hello"})).await;
    assert_eq!(world.number("select count(*) from stm.files where state in ('uploading', 'pending')").await, 1);

    std::fs::remove_file(&there).expect("the file");
    std::fs::rename(&away, &there).expect("a directory");
    world.upload(&scene.customer, CHAT, "files", files, &[]).await.expect(201);
    assert_eq!(world.open(&url).await.bytes, PDF);
}
