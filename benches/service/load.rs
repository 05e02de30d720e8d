//! HTTP requests, many at once, on connections that stay open. Each takes as little work as possible, because the load
//! shares the processors with the service.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::Value;
use testing::PATIENCE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What a load reached.
pub struct Reached {
    pub requests: usize,
    pub per_s: f64,
    /// Sorted.
    latencies: Vec<Duration>,
}

impl Reached {
    pub fn percentile_ms(&self, percent: usize) -> f64 {
        self.latencies[(self.latencies.len() - 1) * percent / 100].as_secs_f64() * 1e3
    }
}

/// Sends requests for `duration`; a connection sends its next one when the last one has been answered. Every answer must be
/// a success. The requests are made from consecutive numbers.
pub async fn load(
    port: u16,
    connections: usize,
    duration: Duration,
    first: usize,
    request: &dyn Fn(usize) -> String,
) -> Reached {
    let next = Cell::new(first);
    let started = Instant::now();
    let end = started + duration;
    let clients = (0..connections).map(|_| async {
        let mut connection = Connection::open(port).await;
        let mut latencies = Vec::new();
        while Instant::now() < end {
            let request = request(next.replace(next.get() + 1));
            let sent = Instant::now();
            connection.ask(&request).await;
            latencies.push(sent.elapsed());
        }
        latencies
    });
    let latencies = timeout(duration + PATIENCE, join_all(clients)).await.expect("answers in time");
    let took = started.elapsed();
    let mut latencies = latencies.concat();
    assert!(!latencies.is_empty(), "no request in {duration:?}");
    latencies.sort_unstable();
    Reached { requests: latencies.len(), per_s: latencies.len() as f64 / took.as_secs_f64(), latencies }
}

/// The answer to one request: JSON.
pub async fn answer(port: u16, request: &str) -> Value {
    let mut connection = Connection::open(port).await;
    timeout(PATIENCE, connection.ask(request)).await.expect("an answer in time");
    let body = connection.answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a body") + 4;
    serde_json::from_slice(&connection.answer[body..]).expect("JSON")
}

struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("a connection");
        stream.set_nodelay(true).expect("a connection");
        Self { stream, answer: Vec::new() }
    }

    async fn ask(&mut self, request: &str) {
        self.stream.write_all(request.as_bytes()).await.expect("a request");
        self.answer.clear();
        while length(&self.answer).is_none_or(|length| self.answer.len() < length) {
            let read = self.stream.read_buf(&mut self.answer).await.expect("an answer");
            assert!(read > 0, "the service closed the connection instead of answering: {request}");
        }
        let is_success = self.answer.starts_with(b"HTTP/1.1 2");
        assert!(is_success, "{request}\n\nis answered with\n\n{}", String::from_utf8_lossy(&self.answer));
    }
}

/// The length of an answer including its head, once the head is complete.
fn length(answer: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    const FIELD: &str = "content-length: ";
    let head = answer.windows(END.len()).position(|bytes| bytes == END)?;
    let text = std::str::from_utf8(&answer[..head]).expect("a head in ASCII");
    let body = text.lines().find_map(|line| line.strip_prefix(FIELD)).expect("an answer with its length");
    Some(head + END.len() + body.parse::<usize>().expect("a number"))
}
