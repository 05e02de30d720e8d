//! Many uploads at once, and a store that is away.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::json;
use testing::server::Server;
use testing::usage::resident_kib;
use testing::{PATIENCE, s3};

use crate::support::files::{PDF, png, stored};
use crate::support::s3::{Front, Store};
use crate::support::{Booked, SERVE, Scene, ask};

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
        let started = Instant::now();
        loop {
            let form = Form::new().part("files", Part::bytes(&bytes[number..]).file_name(format!("{number}.txt")));
            let request = world.raw(Method::POST, CHAT).bearer_auth(&scene.customer.token).multipart(form);
            let status = request.timeout(4 * PATIENCE).send().await.expect("an answer").status();
            // On a busy machine too many wait for the database: as the answer says, the client tries again.
            if status != StatusCode::SERVICE_UNAVAILABLE || started.elapsed() > 3 * PATIENCE {
                assert_eq!(status, StatusCode::CREATED);
                break;
            }
        }
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

/// A customer who is in a chat, in a service whose store is behind a front.
async fn behind(front: &Front) -> Booked {
    Scene::on(front.world().await).await.book().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_or_stalls_is_reported_and_chat_goes_on() {
    let front = Front::start(Store::Fails).await;
    let scene = behind(&front).await;
    let world = &scene.world;
    let upload = async |files| world.upload(&scene.customer, CHAT, "files", files, &[]).await;
    let refused = upload(vec![("a.pdf", PDF.to_vec())]).await.expect(503);
    assert_eq!(refused["code"], "storage_unavailable");
    assert!(refused["message"].as_str().is_some_and(|sentence| sentence.contains("stored")), "{refused}");

    front.set(Store::Stalls);
    let [(customer, _), _] = scene.connect().await;
    let goes_on = async {
        let started = Instant::now();
        while front.waiting() == 0 {
            assert!(started.elapsed() < PATIENCE, "the store is not asked");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ask(&customer, "send_message", json!({"chatId": scene.chat, "message": "hello"})).await;
        front.set(Store::Fails);
    };
    let (answer, ()) = tokio::join!(upload(vec![("b.pdf", [PDF, b"b"].concat())]), goes_on);
    answer.expect(503);
    assert_eq!(world.number("select count(*) from stm.files where state <> 'deleted'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_store_is_waited_for() {
    if s3().is_none() {
        eprintln!("NOT RUN: there is no S3 server in this run");
        return;
    }
    let front = Front::start(Store::Slow).await;
    let scene = behind(&front).await;
    let text = vec![b'x'; 1024 * 1024];
    let uploaded = scene.world.upload(&scene.customer, CHAT, "files", vec![("a.txt", text.clone())], &[]).await;
    let url = uploaded.expect(201)["urls"][0].as_str().expect("a URL").to_owned();
    let opened = scene.world.open(&url).await;
    assert!(opened.status == 200 && opened.bytes == text, "{}", opened.status);
    front.set(Store::Fails);
    assert_eq!(scene.world.open(&url).await.status, 503);
}

/// Several at once, and then nothing of them is left: neither rows nor objects, nor what was on its way to them.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_uploads_leaves_nothing_for_long() {
    let mut scene = Scene::booked().await;
    let bytes: &'static [u8] = vec![b'x'; LARGEST].leak();
    let uploads: Vec<_> = (0..20)
        .map(|number| {
            let form = Form::new().part("files", Part::bytes(&bytes[number..]).file_name("a.txt"));
            let request = scene.world.raw(Method::POST, CHAT).bearer_auth(&scene.customer.token).multipart(form);
            tokio::spawn(request.send())
        })
        .collect();
    let started = Instant::now();
    // Some are stored, some are on their way to the store, some are being received.
    while scene.world.number("select count(*) from stm.files where state = 'uploading'").await == 0 {
        assert!(started.elapsed() < PATIENCE, "nothing is uploaded");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    scene.world.server.kill();
    join_all(uploads).await;
    scene.world.sql("update stm.files set created_at = now() - interval '25 hours'").await;
    scene.world.server = Server::start(SERVE, &scene.world.environment(&[]));
    while (stored(&scene.world), scene.world.number("select count(*) from stm.files where erased_at is null").await)
        != (0, 0)
    {
        assert!(started.elapsed() < 2 * PATIENCE, "{} objects are left", stored(&scene.world));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
