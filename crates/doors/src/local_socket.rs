//! A Unix socket that serves this process only.
//!
//! On Linux it has an abstract name and no file, so nothing can sweep it away, and nothing stays behind when the process is
//! killed. Abstract names have no permissions: whoever connects is asked for its process id.
//! <https://man7.org/linux/man-pages/man7/unix.7.html>

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use crate::url::ConnectionString;

/// The port in the name of the socket; any would do.
const PORT: u16 = 5432;

/// A socket, and the task that serves it. Dropped, it takes no more connections; those that it has end with their clients.
#[derive(Debug)]
pub struct LocalSocket {
    directory: PathBuf,
    listener: JoinHandle<()>,
}

impl LocalSocket {
    /// Listens, and has `serve` serve each connection in a task of its own.
    ///
    /// # Errors
    /// A sentence: there can be no socket.
    pub fn open<F>(url: &ConnectionString, serve: impl Fn(UnixStream) -> F + Send + 'static) -> Result<Self, String>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let directory = directory();
        let listener = listen(&directory).map_err(|error| {
            format!("{} needs a Unix socket within this process, and none can be made ({error}).", url.secret())
        })?;
        Ok(Self { directory, listener: tokio::spawn(accept(listener, serve)) })
    }

    /// Options of `url` that lead through the socket.
    #[must_use]
    pub fn options(&self, url: &ConnectionString, application_name: &str) -> PgConnectOptions {
        url.options_through(&self.directory, PORT, application_name)
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
        #[cfg(not(target_os = "linux"))]
        let _best_effort = std::fs::remove_dir_all(&self.directory);
    }
}

/// What sqlx takes for the directory of the socket: the beginning of an abstract name, which is what a leading NUL means.
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

/// In a directory that nobody else may enter.
#[cfg(not(target_os = "linux"))]
fn listen(directory: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::DirBuilderExt as _;

    std::fs::DirBuilder::new().mode(0o700).create(directory)?;
    UnixListener::bind(socket_in(directory))
}

async fn accept<F>(listener: UnixListener, serve: impl Fn(UnixStream) -> F)
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
            // Whoever it is, it is told nothing.
            Ok(_) => tracing::debug!("another process connected to a socket of this one: refused"),
            // Out of files, most likely: connections end, and there is room again.
            Err(error) => {
                tracing::warn!(%error, "a connection within this process cannot be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Whether the client is this process itself.
fn is_ours(client: &UnixStream) -> bool {
    client.peer_cred().is_ok_and(|peer| peer.pid() == i32::try_from(std::process::id()).ok())
}
