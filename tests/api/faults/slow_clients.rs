//! Clients that send slowly, nothing, or too much at once: they are cut off in bounded time, and harm nobody.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use serde_json::Value;
use testing::server::{Server, environment};
use testing::usage::resident_kib;
use testing::world::World;
use testing::{Database, PATIENCE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{SERVE, connect};

/// A websocket that sends nothing.
const WEBSOCKET: &str = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: stm\r\nconnection: upgrade\r\n\
     upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

const HALF_A_HEAD: &str = "GET /livez HTTP/1.1\r\nhost: stm\r\nx-half: ";

async fn open(port: u16, begins: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
    stream.write_all(begins.as_bytes()).await.expect("a request");
    stream
}

/// Reads until the server closes the connection. Returns what it has sent.
async fn until_cut(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _reset = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it is cut off in time");
    String::from_utf8(answer).expect("text")
}

/// Reads what there is of an answer.
async fn read_some(stream: &mut TcpStream) -> String {
    let mut buffer = vec![0; 64 * 1024];
    let length = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("an answer in time").expect("an answer");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_head_is_cut_off() {
    let world = World::start_with(SERVE, &[("REQUEST_HEAD_TIMEOUT_S", "1")]).await;
    let mut silent = Vec::new();
    for begins in [HALF_A_HEAD, ""].iter().cycle().take(40) {
        silent.push(open(world.server.port, begins).await);
    }
    // Another sends a byte from time to time.
    let (mut reader, mut writer) = open(world.server.port, HALF_A_HEAD).await.into_split();
    let drips = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    for stream in &mut silent {
        assert_eq!(until_cut(stream).await, "");
    }
    let mut nothing = Vec::new();
    let _reset = timeout(PATIENCE, reader.read_to_end(&mut nothing)).await.expect("it is cut off in time");
    timeout(PATIENCE, drips).await.expect("in time").expect("no panic");
    world.get("/livez").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_is_cut_off() {
    let world = World::start_with(SERVE, &[("REQUEST_BODY_TIMEOUT_S", "1")]).await;
    let port = world.server.port;
    let request = "POST /auth/login HTTP/1.1\r\nhost: stm\r\ncontent-type: application/json\r\n";
    for length in ["content-length: 1000\r\n", "transfer-encoding: chunked\r\n"] {
        let mut stream = open(port, &format!("{request}{length}\r\n")).await;
        let answer = until_cut(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        let problem: Value = serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).expect("JSON");
        assert_eq!(problem["code"], "timeout", "{problem}");
    }

    // A body of Engine.IO, which no route reads.
    let opened = world.get("/socket.io/?EIO=4&transport=polling").await.body;
    let opened = opened.as_str().expect("a packet").strip_prefix('0').expect("an open packet");
    let opened: Value = serde_json::from_str(opened).expect("JSON");
    let sid = opened["sid"].as_str().expect("an id");
    let request = format!("POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nhost: stm\r\n");
    let mut stream = open(port, &format!("{request}content-length: 1000\r\n\r\n4")).await;
    let answer = until_cut(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let world = World::start_with(SERVE, &[("KEEP_ALIVE_S", "2"), ("REQUEST_HEAD_TIMEOUT_S", "1")]).await;
    let request = "GET /livez HTTP/1.1\r\nhost: stm\r\n\r\n";
    let mut stream = open(world.server.port, request).await;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(3) {
        assert!(read_some(&mut stream).await.starts_with("HTTP/1.1 200 "));
        tokio::time::sleep(Duration::from_millis(200)).await;
        stream.write_all(request.as_bytes()).await.expect("the connection is still there");
    }
    assert!(until_cut(&mut stream).await.starts_with("HTTP/1.1 200 "));
}

/// One client opens more connections than there are descriptors. The others are answered.
#[tokio::test(flavor = "multi_thread")]
async fn with_few_descriptors_nobody_is_locked_out() {
    let directory = tempfile::tempdir().expect("a directory");
    let limited = directory.path().join("limited");
    std::fs::write(&limited, format!("#!/bin/sh\nulimit -n 256\nexec {SERVE}\n")).expect("a script");
    std::fs::set_permissions(&limited, std::fs::Permissions::from_mode(0o700)).expect("a script");
    let world = World::start(limited.to_str().expect("a path")).await;
    let port = world.server.port;

    let mut hoarded = Vec::new();
    for _ in 0..100 {
        let slow_body = "POST /auth/login HTTP/1.1\r\nhost: stm\r\ncontent-length: 9\r\n\r\n";
        for begins in [HALF_A_HEAD, slow_body, WEBSOCKET] {
            // Some are cut off at once.
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await {
                let _cut = stream.write_all(begins.as_bytes()).await;
                hoarded.push(stream);
            }
        }
    }
    let answered = async {
        for _ in 0..10 {
            let fresh = reqwest::Client::builder().pool_max_idle_per_host(0).build().expect("a client");
            let answer = fresh.get(format!("http://127.0.0.1:{port}/services")).send().await.expect("an answer");
            assert_eq!(answer.status(), 200);
        }
    };
    // Sooner than the limits on time would free anything.
    timeout(PATIENCE, answered).await.expect("others are answered");
    let output = world.server.output();
    assert!(output.contains("the limit of open files allows"), "{output}");
}

/// Sockets that have entered the namespace take no place of those that have not.
#[tokio::test(flavor = "multi_thread")]
async fn sockets_without_a_token_are_bounded() {
    let world = World::start_with(SERVE, &[("MAX_WAITING_SOCKETS", "2")]).await;
    let customer = world.customer().await;
    let mut entered = Vec::new();
    for _ in 0..5 {
        entered.push(connect(&world.server, &customer).await);
    }
    let handshake = "/socket.io/?EIO=4&transport=polling";
    for _ in 0..2 {
        world.get(handshake).await.expect(200);
    }
    let refused = world.get(handshake).await;
    assert_eq!((refused.status.as_u16(), refused.headers.contains_key("retry-after")), (503, true), "{}", refused.body);
    world.get("/services").await.expect(200);
    // Their time is soon up.
    let started = Instant::now();
    while world.get(handshake).await.status != 200 {
        assert!(started.elapsed() < PATIENCE, "no place becomes free");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Thousands of sockets without a token are opened and cut: their memory comes back.
#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_never_enter_give_their_memory_back() {
    const SOCKETS: usize = 3000;
    const MAX_GROWTH_KIB: f64 = 16.0 * 1024.0;
    let database = Database::create().await;
    let server = Server::start(SERVE, &environment(&database, &[]));
    let before = resident_kib(server.pid());
    let mut waiting = Vec::with_capacity(SOCKETS);
    for _ in 0..SOCKETS {
        waiting.push(open(server.port, WEBSOCKET).await);
    }
    for stream in &mut waiting {
        assert!(read_some(stream).await.starts_with("HTTP/1.1 101 "));
    }
    let open_kib = resident_kib(server.pid());
    drop(waiting);
    let started = Instant::now();
    loop {
        let now = resident_kib(server.pid());
        if now < before + MAX_GROWTH_KIB {
            println!("{before} KiB before, {open_kib} open, {now} after {:?}", started.elapsed());
            break;
        }
        assert!(started.elapsed() < 2 * PATIENCE, "{before} KiB before, {open_kib} open, {now} now");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
