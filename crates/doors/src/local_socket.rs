//! A Unix socket that serves this process only.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use sqlx::postgres::PgConnectOptions;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use crate::url::ConnectionString;

/// The port in the name of the socket; any would do.
const PORT: u16 = 5432;

/// How long after a panic, or a failure, connections are accepted again.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// How the names of sockets' directories begin.
const PREFIX: &str = "doors-";

/// A socket in a private directory, and the task that serves it. Dropped, it takes no more connections; those that it
/// has end with their clients.
#[derive(Debug)]
pub struct LocalSocket {
    directory: PathBuf,
    listener: JoinHandle<()>,
    is_accepting: Arc<AtomicBool>,
}

impl LocalSocket {
    /// Listens, and has `serve` serve each connection in a task of its own.
    ///
    /// # Errors
    /// A sentence: the directory cannot be used.
    pub fn open<F>(
        url: &ConnectionString,
        serve: impl Fn(UnixStream) -> F + Send + Sync + 'static,
    ) -> Result<Self, String>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let (directory, listener) = listen(&std::env::temp_dir()).map_err(|error| {
            format!("{} needs a socket in the directory for temporary files, and none can be made ({error}). Set TMPDIR to a short path of a writable directory.", url.secret())
        })?;
        let is_accepting = Arc::new(AtomicBool::new(true));
        let listener = tokio::spawn(keep_accepting(listener, serve, is_accepting.clone()));
        Ok(Self { directory, listener, is_accepting })
    }

    /// Options of `url` that lead through the socket.
    #[must_use]
    pub fn options(&self, url: &ConnectionString, application_name: &str) -> PgConnectOptions {
        url.options_through(&self.directory, PORT, application_name)
    }

    /// Whether connections are accepted.
    #[must_use]
    pub fn is_accepting(&self) -> bool {
        self.is_accepting.load(Ordering::Relaxed)
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        socket_in(&self.directory)
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        self.listener.abort();
        let _best_effort = std::fs::remove_dir_all(&self.directory);
    }
}

/// Listens in a directory that nobody else may enter.
fn listen(base: &Path) -> io::Result<(PathBuf, UnixListener)> {
    sweep(base);
    let directory = base.join(format!("{PREFIX}{}-{:016x}", std::process::id(), rand::random::<u64>()));
    std::fs::DirBuilder::new().mode(0o700).create(&directory)?;
    // Between bind and listen a connection is refused, as at a stale socket: so it gets its name when it listens.
    let unnamed = directory.join("new");
    let listener = UnixListener::bind(&unnamed)
        .and_then(|listener| std::fs::rename(&unnamed, socket_in(&directory)).map(|()| listener));
    match listener {
        Ok(listener) => Ok((directory, listener)),
        Err(error) => {
            let _best_effort = std::fs::remove_dir_all(&directory);
            Err(error)
        }
    }
}

fn socket_in(directory: &Path) -> PathBuf {
    directory.join(format!(".s.PGSQL.{PORT}"))
}

/// Removes what killed processes have left behind: directories without a socket at which somebody listens.
fn sweep(base: &Path) {
    for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
        if entry.file_name().to_str().and_then(|name| name.strip_prefix(PREFIX)).is_some_and(is_left_behind)
            && let Err(error) = std::os::unix::net::UnixStream::connect(socket_in(&entry.path()))
            && matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
        {
            let _best_effort = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether the process whose directory has this name runs no more. (In a container of its own it may, unseen from here.)
fn is_left_behind(name: &str) -> bool {
    let process = name.split_once('-').map_or(name, |(process, _)| process);
    !Path::new("/proc").join(process).exists()
}

/// Accepts connections for as long as the socket lives, also after a panic.
async fn keep_accepting<F>(listener: UnixListener, serve: impl Fn(UnixStream) -> F, is_accepting: Arc<AtomicBool>)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    loop {
        is_accepting.store(true, Ordering::Relaxed);
        let _panic = AssertUnwindSafe(accept(&listener, &serve)).catch_unwind().await;
        is_accepting.store(false, Ordering::Relaxed);
        tracing::error!("accepting connections within this process panicked: accepting again");
        tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
    }
}

async fn accept<F>(listener: &UnixListener, serve: &impl Fn(UnixStream) -> F)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((client, _)) if is_ours(&client) => {
                let served = serve(client);
                tokio::spawn(async move {
                    if let Err(error) = served.await {
                        tracing::debug!(%error, "a connection through this process ended");
                    }
                });
            }
            // Of the same user, since nobody else may enter the directory: one that looks for stale sockets, most likely.
            Ok(_) => tracing::debug!("another process connected to a socket of this one: refused"),
            // Out of files, most likely: connections end, and there is room again.
            Err(error) => {
                tracing::warn!(%error, "a connection within this process cannot be accepted");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

/// Whether the client is this process itself.
fn is_ours(client: &UnixStream) -> bool {
    client.peer_cred().is_ok_and(|peer| peer.pid() == i32::try_from(std::process::id()).ok())
}
