//! What stands between the service and its object store, and fails as networks and servers do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use testing::world::World;
use testing::{Database, s3};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::SERVE;

/// What becomes of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// They reach the S3 server of this run, which must have one; each way slowly.
    Slow,
    /// They are answered with 500.
    Fails,
    /// They are not answered.
    Stalls,
}

pub struct Front {
    port: u16,
    mode: watch::Sender<Store>,
    waiting: Arc<AtomicUsize>,
}

impl Front {
    pub async fn start(mode: Store) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (sender, receiver) = watch::channel(mode);
        let waiting = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&waiting);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, receiver.clone(), Arc::clone(&counted)));
            }
        });
        Self { port, mode: sender, waiting }
    }

    /// Starts a service whose store is behind this.
    pub async fn world(&self) -> World {
        let url = format!("http://127.0.0.1:{}", self.port);
        let database = Database::create().await;
        let bucket = database.files_dir().file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let settings =
            [("STORAGE_URL", &*url), ("STORAGE_KEY", "key"), ("STORAGE_SECRET", "secret"), ("STORAGE_BUCKET", &bucket)];
        World::start_on(SERVE, database, &settings).await
    }

    /// Changes what becomes of requests. Connections that wait are closed.
    pub fn set(&self, mode: Store) {
        self.mode.send_replace(mode);
    }

    /// How many connections have sent something that is not answered.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

const SERVER_ERROR: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

async fn serve(mut client: TcpStream, mut mode: watch::Receiver<Store>, waiting: Arc<AtomicUsize>) {
    let current = *mode.borrow_and_update();
    let mut first = [0; 1024];
    match current {
        Store::Slow => {
            tokio::select! {
                () = pass_on_slowly(client) => {}
                _ = mode.changed() => {}
            }
        }
        Store::Fails => {
            if client.read(&mut first).await.unwrap_or(0) > 0 {
                let _gone = client.write_all(SERVER_ERROR).await;
            }
        }
        Store::Stalls => {
            if client.read(&mut first).await.unwrap_or(0) > 0 {
                waiting.fetch_add(1, Ordering::Relaxed);
                let _changed = mode.changed().await;
            }
        }
    }
}

async fn pass_on_slowly(client: TcpStream) {
    let (url, _) = s3().expect("an S3 server");
    let server = TcpStream::connect(url.trim_start_matches("http://")).await.expect("the S3 server");
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = copy_slowly(from_client, to_server) => {}
        () = copy_slowly(from_server, to_client) => {}
    }
}

async fn copy_slowly(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut chunk = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if to.write_all(&chunk[..length]).await.is_err() {
            return;
        }
    }
}
