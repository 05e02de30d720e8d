//! A Unix socket that serves this process only.
//!
//! On Linux it has an abstract name and no file, so nothing can sweep it away, and nothing stays behind when the process is
//! killed. An abstract name has no permissions, so the process id of each client is checked.
//! <https://man7.org/linux/man-pages/man7/unix.7.html>

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use crate::url::ConnectionString;

/// The port in the name of the socket; any would do.
const PORT: u16 = 5432;

/// How many bytes are read at once within the process: most requests are shorter.
const SCRATCH: usize = 4 << 10;

/// How long after a panic, or a failure, connections are accepted again.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Options of `url` for a socket that is still to be named.
#[must_use]
pub fn options(url: &ConnectionString, application_name: &str) -> PgConnectOptions {
    url.options_through(Path::new("/"), PORT, application_name)
}

/// The name of a socket, or its directory where names are files: gone when it is dropped.
#[derive(Debug)]
struct Name(PathBuf);

impl Name {
    fn listen() -> io::Result<(Self, UnixListener)> {
        let name = Self(directory());
        let listener = listen(&name.0)?;
        Ok((name, listener))
    }

    fn lead(&self, options: PgConnectOptions) -> PgConnectOptions {
        options.socket(&self.0)
    }
}

#[cfg(not(target_os = "linux"))]
impl Drop for Name {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.0);
    }
}

/// A socket for one connection, whose name only the one who makes that connection knows.
#[derive(Debug)]
pub struct OneShot {
    name: Name,
    listener: UnixListener,
}

impl OneShot {
    /// # Errors
    /// There can be no socket.
    pub fn open() -> io::Result<Self> {
        let (name, listener) = Name::listen()?;
        Ok(Self { name, listener })
    }

    /// The same options, leading to the socket.
    pub fn lead(&self, options: PgConnectOptions) -> PgConnectOptions {
        self.name.lead(options)
    }

    /// Returns the connection, once it is there; the socket takes no other.
    pub async fn accept(self) -> io::Result<UnixStream> {
        loop {
            let (client, _) = self.listener.accept().await?;
            if is_ours(&client) {
                return Ok(client);
            }
            tracing::debug!("another process connected to a socket of this one: refused");
        }
    }
}

/// An end of a socket whose other end is used in the same task, or is closed: whoever polls it has used the other end before,
/// so it never has to wake anybody.
#[derive(Debug)]
pub struct Inside {
    stream: std::os::unix::net::UnixStream,
    /// Initialised memory to read into.
    scratch: Box<[u8]>,
    /// Whether there may be something to read. Gone with the [`Signal`]: then there is, the end at least.
    signal: Weak<AtomicBool>,
}

/// Says that the other end has been used, and is dropped when that is closed.
#[derive(Debug)]
pub struct Signal(Arc<AtomicBool>);

impl Signal {
    /// The other end may have written.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Inside {
    /// # Errors
    /// The runtime cannot let go of the socket.
    pub fn new(stream: UnixStream) -> io::Result<(Self, Signal)> {
        let signal = Signal(Arc::new(AtomicBool::new(true)));
        let scratch = vec![0; SCRATCH].into();
        Ok((Self { stream: stream.into_std()?, scratch, signal: Arc::downgrade(&signal.0) }, signal))
    }
}

/// The outcome of an operation, or pending if it would block; then nothing wakes the task.
fn ready_now<T>(mut operation: impl FnMut() -> io::Result<T>) -> Poll<io::Result<T>> {
    loop {
        match operation() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return Poll::Ready(done),
        }
    }
}

impl AsyncRead for Inside {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, scratch, signal } = &mut *self;
        let signal = signal.upgrade();
        if signal.as_ref().is_some_and(|signal| !signal.load(Ordering::Relaxed)) {
            return Poll::Pending;
        }
        let room = buffer.remaining().min(scratch.len());
        let read = ready_now(|| stream.read(&mut scratch[..room]));
        if let Some(signal) = signal
            && !matches!(read, Poll::Ready(Ok(read)) if read == room)
        {
            signal.store(false, Ordering::Relaxed);
        }
        read.map_ok(|read| buffer.put_slice(&scratch[..read]))
    }
}

impl AsyncWrite for Inside {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready_now(|| self.stream.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.shutdown(Shutdown::Write))
    }
}

/// A socket, and the task that serves it. Dropped, it takes no more connections; those that it has end with their clients.
#[derive(Debug)]
pub struct LocalSocket {
    name: Name,
    listener: JoinHandle<()>,
}

impl LocalSocket {
    /// Listens, and has `serve` serve each connection in a task of its own.
    ///
    /// # Errors
    /// There can be no socket.
    pub fn open<F>(serve: impl Fn(UnixStream) -> F + Send + Sync + 'static) -> io::Result<Self>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let (name, listener) = Name::listen()?;
        Ok(Self { name, listener: tokio::spawn(keep_accepting(listener, serve)) })
    }

    /// The same options, leading to the socket.
    #[must_use]
    pub fn lead(&self, options: PgConnectOptions) -> PgConnectOptions {
        self.name.lead(options)
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        socket_in(&self.name.0)
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        self.listener.abort();
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

/// Accepts connections for as long as the socket lives, also after a panic.
async fn keep_accepting<F>(listener: UnixListener, serve: impl Fn(UnixStream) -> F)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    loop {
        let _panic = AssertUnwindSafe(accept(&listener, &serve)).catch_unwind().await;
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
            // Closed without an answer.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Abstract names are open to everybody on the machine: another process that comes first is turned away.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_socket_for_one_connection_takes_none_of_another_process() {
        const CONNECT: &str = r#"
            socket(my $socket, AF_UNIX, SOCK_STREAM, 0) || die $!;
            connect($socket, pack_sockaddr_un("\0$ARGV[0]")) || die $!;
            print "said ", length(join "", <$socket>);"#;
        let socket = OneShot::open().unwrap();
        let path = socket_in(&socket.name.0);
        let name = path.to_string_lossy().trim_start_matches('\0').to_owned();
        let accepts = tokio::spawn(socket.accept());
        let connects = move || std::process::Command::new("perl").args(["-MSocket", "-e", CONNECT, &name]).output();
        let output = tokio::task::spawn_blocking(connects).await.unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "said 0", "{output:?}");
        assert!(!accepts.is_finished());

        let ours = UnixStream::connect(&path).await.unwrap();
        let accepted = accepts.await.unwrap().unwrap();
        assert!(is_ours(&accepted));
        drop(ours);
        assert!(UnixStream::connect(&path).await.is_err(), "it takes a second one");
    }
}
