//! A Unix socket that serves this process only.
//!
//! On Linux it has an abstract name and no file, so nothing can sweep it away, and nothing stays behind when the process is
//! killed. An abstract name has no permissions, so the process id of each client is checked.
//! <https://man7.org/linux/man-pages/man7/unix.7.html>

use std::io;
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

/// How long after a panic or a failure connections are accepted again.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// A socket, and the task that serves it. Once dropped, it accepts no more connections; open ones end with their clients.
#[derive(Debug)]
pub struct LocalSocket {
    directory: PathBuf,
    listener: JoinHandle<()>,
    is_accepting: Arc<AtomicBool>,
}

impl LocalSocket {
    /// Listens, and runs `serve` for each connection in a separate task.
    ///
    /// # Errors
    /// A sentence: the socket cannot be opened.
    pub fn open<F>(
        url: &ConnectionString,
        serve: impl Fn(UnixStream) -> F + Send + Sync + 'static,
    ) -> Result<Self, String>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let directory = directory();
        let listener = listen(&directory).map_err(|error| {
            format!("{} needs a Unix socket within this process, and none can be made ({error}).", url.secret())
        })?;
        let is_accepting = Arc::new(AtomicBool::new(true));
        let listener = tokio::spawn(keep_accepting(listener, serve, is_accepting.clone()));
        Ok(Self { directory, listener, is_accepting })
    }

    /// The connect options of `url`, but through the socket.
    #[must_use]
    pub fn options(&self, url: &ConnectionString, application_name: &str) -> PgConnectOptions {
        url.options_through(&self.directory, PORT, application_name)
    }

    /// Whether connections are accepted.
    #[must_use]
    pub fn is_accepting(&self) -> bool {
        self.is_accepting.load(Ordering::Relaxed)
    }

    /// The path of the socket itself, inside its directory.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        socket_in(&self.directory)
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        self.listener.abort();
        #[cfg(not(target_os = "linux"))]
        let _best_effort = std::fs::remove_dir_all(&self.directory);
    }
}

/// What sqlx takes for the directory of the socket: the beginning of an abstract name, marked by a leading NUL.
#[cfg(target_os = "linux")]
fn directory() -> PathBuf {
    format!("\0{}", unique_name()).into()
}

#[cfg(not(target_os = "linux"))]
fn directory() -> PathBuf {
    std::env::temp_dir().join(unique_name())
}

fn unique_name() -> String {
    format!("doors-{}-{:016x}", std::process::id(), rand::random::<u64>())
}

fn socket_in(directory: &Path) -> PathBuf {
    directory.join(format!(".s.PGSQL.{PORT}"))
}

#[cfg(target_os = "linux")]
fn listen(directory: &Path) -> io::Result<UnixListener> {
    UnixListener::bind(socket_in(directory))
}

/// Listens in a directory that nobody else may enter.
#[cfg(not(target_os = "linux"))]
fn listen(directory: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::DirBuilderExt as _;

    std::fs::DirBuilder::new().mode(0o700).create(directory)?;
    UnixListener::bind(socket_in(directory))
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
            // The connection is closed without an answer.
            Ok(_) => tracing::debug!("another process connected to a socket of this one: refused"),
            // Most likely out of file descriptors: some are freed as connections end.
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
