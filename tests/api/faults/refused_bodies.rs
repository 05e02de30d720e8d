//! Requests that are refused before their body is read: a client that sends the whole body before it reads still gets the
//! answer.

use std::time::Duration;

use testing::PATIENCE;
use testing::world::World;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::SERVE;

const MIB: usize = 1 << 20;

/// Reads one answer whose length is given. Returns its head.
async fn read_answer(stream: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let byte = timeout(PATIENCE, stream.read_u8()).await.expect("an answer in time").expect("an answer");
        head.push(char::from(byte));
    }
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().expect("n"));
    stream.read_exact(&mut vec![0; length]).await.expect("a body");
    head
}

async fn connect(world: &World) -> BufReader<TcpStream> {
    BufReader::new(TcpStream::connect(("127.0.0.1", world.server.port)).await.expect("a connection"))
}

/// The bytes of a request with a body of `length`, in one piece or in chunks.
fn request(head: &str, length: usize, is_chunked: bool) -> Vec<u8> {
    let body = vec![b'x'; length];
    let (framing, body) = if is_chunked {
        let chunk = [format!("{length:x}\r\n").as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
        ("transfer-encoding: chunked".to_owned(), chunk)
    } else {
        (format!("content-length: {length}"), body)
    };
    [format!("{head}\r\nhost: stm\r\n{framing}\r\n\r\n").as_bytes(), &body].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_everything_first_gets_the_answer() {
    let world = World::start(SERVE).await;
    let customer = world.customer().await;
    let upload = |path: &str| {
        let token = &customer.token;
        format!(
            "POST {path} HTTP/1.1\r\nauthorization: Bearer {token}\r\ncontent-type: multipart/form-data; boundary=b"
        )
    };
    for (head, status) in [
        ("POST /nowhere HTTP/1.1", 404),
        ("PUT /livez HTTP/1.1", 405),
        ("POST /chat/upload-files HTTP/1.1\r\ncontent-type: multipart/form-data; boundary=b", 401),
        (&upload("/chat/upload-files"), 403),
        // The head of the first part never ends.
        (&upload("/jobs/images/upload"), 413),
        ("POST /auth/login HTTP/1.1\r\ncontent-type: text/csv", 415),
        ("POST /auth/login HTTP/1.1\r\ncontent-type: application/json", 413),
        ("POST /socket.io/?EIO=4&transport=polling&sid=none HTTP/1.1", 400),
    ] {
        for is_chunked in [false, true] {
            let mut stream = connect(&world).await;
            let sent = stream.write_all(&request(head, 12 * MIB, is_chunked)).await;
            assert!(sent.is_ok(), "{head}: {sent:?}");
            let answer = read_answer(&mut stream).await;
            let head = head.lines().next().expect("a line");
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
            // The connection serves on.
            stream.write_all(b"GET /livez HTTP/1.1\r\nhost: stm\r\n\r\n").await.expect("a request");
            assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 200 "), "{head}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unwanted_body_has_its_limits() {
    let world = World::start_with(SERVE, &[("REQUEST_BODY_TIMEOUT_S", "300")]).await;
    let announce = async |length: usize| {
        let mut stream = connect(&world).await;
        let head = format!("POST /nowhere HTTP/1.1\r\nhost: stm\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("a head");
        stream
    };

    // More than anybody uploads: not all of it is read.
    let mut stream = announce(2048 * MIB).await;
    let (mut sent, piece) = (0, vec![b'x'; MIB]);
    while sent < 2048 && stream.write_all(&piece).await.is_ok() {
        sent += 1;
    }
    assert!((128..512).contains(&sent), "{sent} MiB were taken");

    // A client that waits for the end of the connection instead of sending the body it announced.
    let mut stream = announce(1000).await;
    assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 404 "));
    closed(&mut stream).await;
}

/// Waits until the server closes the connection.
async fn closed(stream: &mut BufReader<TcpStream>) {
    assert_eq!(timeout(PATIENCE, stream.read(&mut [0])).await.expect("it is closed in time").ok(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unwanted_body_that_trickles_is_cut_off() {
    let world = World::start_with(SERVE, &[("REQUEST_BODY_TIMEOUT_S", "1")]).await;
    let mut stream = connect(&world).await;
    stream.write_all(b"POST /nowhere HTTP/1.1\r\nhost: stm\r\ncontent-length: 1000\r\n\r\n").await.expect("a head");
    assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 404 "));
    let trickle = async {
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(20), trickle).await.expect("cut off long before all 1,000 bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_100_continue_gets_the_answer_too() {
    let world = World::start(SERVE).await;
    let asks = "host: stm\r\nexpect: 100-continue\r\ncontent-type: application/json\r\n";

    // Refused before its body is wanted.
    let mut stream = connect(&world).await;
    let head = format!("POST /nowhere HTTP/1.1\r\n{asks}content-length: 1000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("a head");
    let answer = read_answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    // Its next request would be taken for the body.
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    closed(&mut stream).await;

    // Refused because its body is too large.
    let mut stream = connect(&world).await;
    let head = format!("POST /auth/login HTTP/1.1\r\n{asks}content-length: {}\r\n\r\n", 12 * MIB);
    stream.write_all(head.as_bytes()).await.expect("a head");
    assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 100 "));
    stream.write_all(&vec![b'x'; 12 * MIB]).await.expect("all of it is taken");
    assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 413 "));
}

/// A refused body may end when the next request has begun already. That one waits for its own body all the same, so its
/// connection makes room for others.
#[tokio::test(flavor = "multi_thread")]
async fn refused_bodies_keep_no_connection_from_making_room() {
    let world = World::start_with(SERVE, &[("MAX_CONNECTIONS", "16")]).await;
    let refused = "GET /nowhere HTTP/1.1\r\nhost: stm\r\ncontent-length: 1\r\n\r\nx";
    let unfinished =
        "POST /auth/login HTTP/1.1\r\nhost: stm\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
    let mut waiting = Vec::new();
    for _ in 0..16 {
        let mut stream = connect(&world).await;
        stream.write_all(format!("{refused}{unfinished}").as_bytes()).await.expect("two requests");
        assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 404 "));
        waiting.push(stream);
    }
    for _ in 0..16 {
        let mut stream = connect(&world).await;
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: stm\r\n\r\n").await.expect("a request");
        let answer = read_answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}
