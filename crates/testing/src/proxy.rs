//! A proxy in front of the pooler, or of the relay: it cuts, it loses, and it listens.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::RngExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::{AbortHandle, JoinHandle};

/// How it passes bytes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// As they come.
    Nowhere,
    /// 1 to 23 at a time. What the client sends only from the end of the start-up on: before, `PgBouncer` insists on
    /// whole packets ("client sent partial pkt in startup phase"), and the relay passes them on as they come.
    Pieces,
}

/// Passes TCP connections on to the server of a URL. Gone, with them, when dropped.
pub struct Proxy {
    url: String,
    shared: Arc<Shared>,
    listener: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    /// Whether what is sent gets nowhere.
    swallows: AtomicBool,
    connections: Mutex<Vec<AbortHandle>>,
    /// What the server said first on each connection.
    heard: Mutex<Vec<Vec<u8>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `ReadyForQuery`, when no transaction is open: how a start-up ends.
const READY: &[u8] = b"Z\0\0\0\x05I";

/// How much of what the server says is kept: its start-up is shorter.
const KEPT: usize = 4096;

impl Proxy {
    pub async fn before(url: &str, cut: Cut) -> Self {
        Self::at([127, 0, 0, 1].into(), url, cut).await
    }

    /// Listens at an address of its own.
    pub async fn at(address: IpAddr, url: &str, cut: Cut) -> Self {
        let (credentials, rest) = url.split_once('@').expect("a URL with a user");
        let (server, database) = rest.split_once('/').expect("a URL with a database");
        let listener = TcpListener::bind((address, 0)).await.expect("a port");
        let here = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        Self {
            url: format!("{credentials}@{here}/{database}"),
            listener: tokio::spawn(serve(listener, server.to_owned(), cut, shared.clone())),
            shared,
        }
    }

    /// The way through it.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// How many connections it has passed on.
    pub fn connections(&self) -> usize {
        lock(&self.shared.heard).len()
    }

    /// Takes no more connections; those that there are go on.
    pub fn close_to_new(&self) {
        self.listener.abort();
    }

    /// Swallows what either side sends from now on, or passes it on again. New connections are taken, and get no answer.
    pub fn swallow(&self, swallows: bool) {
        self.shared.swallows.store(swallows, Ordering::Relaxed);
    }

    /// Closes one of the connections, whatever is in flight. Returns whether there was one.
    pub fn lose_one(&self) -> bool {
        let mut connections = lock(&self.shared.connections);
        connections.retain(|connection| !connection.is_finished());
        if connections.is_empty() {
            return false;
        }
        let lost = rand::rng().random_range(0..connections.len());
        connections.swap_remove(lost).abort();
        true
    }

    /// The body of the `BackendKeyData` that the server sent on the first connection, if it has. Not for connections
    /// that ask for encryption first.
    pub fn cancel_key(&self) -> Option<Vec<u8>> {
        let heard = lock(&self.shared.heard);
        let mut rest = heard.first()?.as_slice();
        loop {
            let (tag, length) = (*rest.first()?, u32::from_be_bytes(rest.get(1..5)?.try_into().ok()?));
            let end = 1 + usize::try_from(length).ok()?;
            if tag == b'K' {
                return rest.get(5..end).map(<[u8]>::to_vec);
            }
            rest = rest.get(end..)?;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
        lock(&self.shared.connections).iter().for_each(AbortHandle::abort);
    }
}

async fn serve(listener: TcpListener, server: String, cut: Cut, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let number = {
            let mut heard = lock(&shared.heard);
            heard.push(Vec::new());
            heard.len() - 1
        };
        let (server, hearing) = (server.clone(), shared.clone());
        let task = tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(server).await else { return };
            for stream in [&client, &server] {
                stream.set_nodelay(true).expect("an option");
            }
            let hear = |bytes: &[u8]| {
                let first = &mut lock(&hearing.heard)[number];
                let room = KEPT.saturating_sub(first.len()).min(bytes.len());
                first.extend_from_slice(&bytes[..room]);
            };
            pass_on(client, server, cut, &hearing.swallows, hear).await;
        });
        lock(&shared.connections).push(task.abort_handle());
    }
}

/// Passes connections to a Unix socket on to that at `target`.
pub async fn serve_unix(listener: UnixListener, target: PathBuf, cut: Cut) {
    while let Ok((client, _)) = listener.accept().await {
        let target = target.clone();
        tokio::spawn(async move {
            let Ok(server) = UnixStream::connect(target).await else { return };
            pass_on(client, server, cut, &AtomicBool::new(false), |_| ()).await;
        });
    }
}

async fn pass_on<S: AsyncRead + AsyncWrite>(
    client: S,
    server: S,
    cut: Cut,
    swallows: &AtomicBool,
    mut hear: impl FnMut(&[u8]),
) {
    let (is_ready, always) = (AtomicBool::new(false), AtomicBool::new(true));
    let hear = |bytes: &[u8]| {
        is_ready.fetch_or(bytes.ends_with(READY), Ordering::Relaxed);
        hear(bytes);
    };
    let ((from_client, to_client), (from_server, to_server)) = (tokio::io::split(client), tokio::io::split(server));
    let _one_of_them_is_gone = tokio::try_join!(
        copy(from_client, to_server, cut, &is_ready, swallows, |_| ()),
        copy(from_server, to_client, cut, &always, swallows, hear)
    );
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    cut: Cut,
    may_cut: &AtomicBool,
    swallows: &AtomicBool,
    mut hear: impl FnMut(&[u8]),
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        if swallows.load(Ordering::Relaxed) {
            continue;
        }
        hear(&buffer[..read]);
        let mut rest = &buffer[..read];
        let is_cut = cut == Cut::Pieces && may_cut.load(Ordering::Relaxed);
        while !rest.is_empty() {
            let size = if is_cut { rand::rng().random_range(1..=23) } else { read };
            let (piece, later) = rest.split_at(size.min(rest.len()));
            to.write_all(piece).await?;
            to.flush().await?;
            rest = later;
            if is_cut {
                tokio::task::yield_now().await;
            }
        }
    }
}
