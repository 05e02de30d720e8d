//! Distance: a TCP proxy that delivers everything a while after it came, in both directions, however much it is.

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Starts a proxy to a port of this machine, and returns its own; it lives as long as the process. It has a thread of
/// its own, so that it does not wait for what is measured.
pub fn start(target: u16, delay: Duration) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    std::thread::spawn(move || runtime.block_on(accept(listener, target, delay)));
    port
}

async fn accept(listener: std::net::TcpListener, target: u16, delay: Duration) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    loop {
        let (near, _) = listener.accept().await.expect("a connection");
        tokio::spawn(async move {
            // A pooler that is away: the application sees its connection end.
            let Ok(far) = TcpStream::connect(("127.0.0.1", target)).await else { return };
            near.set_nodelay(true).expect("a socket");
            far.set_nodelay(true).expect("a socket");
            let (from_near, to_near) = near.into_split();
            let (from_far, to_far) = far.into_split();
            tokio::join!(pass(from_near, to_far, delay), pass(from_far, to_near, delay));
        });
    }
}

/// Reads on while what it has read waits, so that only time is added.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, delay: Duration) {
    let (chunks, mut waiting) = mpsc::unbounded_channel();
    let read = async move {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(16 << 10);
            if !matches!(from.read_buf(&mut buffer).await, Ok(1..)) {
                return;
            }
            if chunks.send((Instant::now() + delay, buffer.split().freeze())).is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, chunk)) = waiting.recv().await {
            sleep_until(due).await;
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
        let _gone_already = to.shutdown().await;
    };
    tokio::join!(read, write);
}
