//! The wire: between sqlx and a transaction pooler, one round trip for a statement.
//!
//! sqlx asks twice for every statement (Parse and Describe, then Bind and Execute), and a transaction pooler may send
//! the two to different servers. [`Wire`] is a relay inside this process. sqlx speaks to it over a Unix socket, names
//! and caches its statements as it would on a session; the relay answers the first question from memory, and turns
//! the second into one request that needs nothing from before it.
//!
//! Three invariants carry it:
//!
//! 1. The pooler never hears a statement's name, and every Bind travels in the same Sync-terminated request as the
//!    Parse it refers to. So no server can run anything else under it.
//! 2. At most one request is on its way. So every answer belongs to it.
//! 3. What sqlx believes of a statement's columns is compared, byte for byte, with a Describe in the same request.
//!    A difference is told before the first row, or the rows are withheld.
//!
//! A BEGIN is answered at once, held back, and sent in front of its transaction's first statement; if it fails, the
//! server skips the statement. Outside a transaction every statement is preceded by one that makes it read-only and
//! limits its time. Whatever is not understood is refused.
//!
//! The same socket without the conversation is a tunnel that does nothing but TLS, for `sslmode=verify-ca`, which sqlx
//! cannot do by itself.
//!
//! | module | what |
//! |---|---|
//! | `frame` | bytes to messages, pure |
//! | `conversation` | requests and answers to messages, pure; with `begin`, `columns`, `descriptions`, `statements` |
//! | `relay`, `upstream` | the I/O around it; the way to the pooler |
//!
//! The protocol: <https://www.postgresql.org/docs/current/protocol.html>.

mod begin;
mod columns;
mod conversation;
mod counters;
mod descriptions;
mod frame;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod model;
mod relay;
mod statements;
mod upstream;

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgSslMode};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

pub use counters::WireCounters;

use super::loss::LastLoss;
use super::url::ConnectionString;
use conversation::Shared;
use relay::{Context, Pipelining};
use upstream::Target;

/// The port in the name of the socket; any would do.
const PORT: u16 = 5432;

/// How the names of sockets' directories begin.
const PREFIX: &str = "stm-wire-";

/// A relay to one pooler. Dropped, it takes no more connections; those that it has end with their clients.
#[derive(Debug)]
pub struct Wire {
    directory: PathBuf,
    context: Arc<Context>,
    listener: JoinHandle<()>,
}

impl Wire {
    /// Starts relaying to the pooler of `url`.
    ///
    /// `limits` bound statements outside transactions; `answer_timeout` is how long the pooler may say nothing while
    /// an answer is due.
    ///
    /// # Errors
    /// A sentence: the file of root certificates, or the directory for the socket, cannot be used.
    pub fn start(url: &ConnectionString, limits: &[(&str, String)], answer_timeout: Duration) -> Result<Self, String> {
        Self::open(url, Some(Pipelining { shared: Arc::new(Shared::new(limits)), answer_timeout }))
    }

    /// Starts a tunnel to the server of `url`: what sqlx says passes as it is, only encryption is done here.
    fn tunnel(url: &ConnectionString) -> Result<Self, String> {
        Self::open(url, None)
    }

    fn open(url: &ConnectionString, pipelining: Option<Pipelining>) -> Result<Self, String> {
        let target = Target::new(url)?;
        let (directory, listener) = listen(&std::env::temp_dir()).map_err(|error| {
            format!("{} needs a socket in the directory for temporary files, and none can be made ({error}). Set TMPDIR to a short path of a writable directory.", url.secret())
        })?;
        let context = Arc::new(Context { target, pipelining, last_loss: LastLoss::default() });
        let listener = tokio::spawn(accept(listener, context.clone()));
        Ok(Self { directory, context, listener })
    }

    /// Options of `url` that lead through the relay.
    #[must_use]
    pub fn options(&self, url: &ConnectionString, application_name: &str) -> PgConnectOptions {
        url.options_through(&self.directory, PORT, application_name)
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket_in(&self.directory)
    }

    /// Has the pooler ended a connection since one of this age was made?
    #[must_use]
    pub fn casts_doubt_on(&self, age: Duration) -> bool {
        self.context.last_loss.casts_doubt_on(age)
    }

    /// What it has done so far; `None` for a tunnel.
    #[must_use]
    pub fn counters(&self) -> Option<WireCounters> {
        self.context.pipelining.as_ref().map(|pipelining| pipelining.shared.counters.now())
    }
}

/// Whether the relay reports `error`, as opposed to the server or the pooler.
#[must_use]
pub fn is_of_relay(error: &dyn DatabaseError) -> bool {
    error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::routine) == Some(frame::ROUTINE)
}

/// Options for sqlx by itself, and the tunnel that must live as long as their connections, if they need one: sqlx
/// trusts the public authorities beside those of `sslrootcert`, so it cannot do `verify-ca`, which must not.
///
/// # Errors
/// As [`Wire::start`].
pub fn without_relay(
    url: &ConnectionString,
    application_name: &str,
) -> Result<(PgConnectOptions, Option<Arc<Wire>>), String> {
    if !matches!(url.tls().0, PgSslMode::VerifyCa) || url.is_unix_socket() {
        return Ok((url.options(application_name), None));
    }
    let tunnel = Wire::tunnel(url)?;
    Ok((tunnel.options(url, application_name), Some(Arc::new(tunnel))))
}

impl Drop for Wire {
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

/// Does the process whose directory has this name run no more? (In a container of its own it may, unseen from here.)
fn is_left_behind(name: &str) -> bool {
    let process = name.split_once('-').map_or(name, |(process, _)| process);
    !Path::new("/proc").join(process).exists()
}

async fn accept(listener: UnixListener, context: Arc<Context>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) if is_ours(&client) => {
                let context = context.clone();
                tokio::spawn(async move {
                    if let Err(error) = relay::relay(context, client).await {
                        tracing::debug!(%error, "a connection of the relay ended");
                    }
                });
            }
            // Of the same user, since nobody else may enter the directory: one that looks for stale sockets, most likely.
            Ok(_) => tracing::debug!("another process connected to the relay of the pooler: refused"),
            // Out of files, most likely: connections end, and there is room again.
            Err(error) => {
                tracing::warn!(%error, "the relay of the pooler cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Is the client this process itself?
fn is_ours(client: &UnixStream) -> bool {
    client.peer_cred().is_ok_and(|peer| peer.pid() == i32::try_from(std::process::id()).ok())
}
