//! The relay between sqlx and a transaction pooler: one round trip for a statement.
//!
//! sqlx takes two round trips for every statement (Parse and Describe, then Bind and Execute), and a transaction pooler
//! may send the two to different servers. [`Relay`] is inside this process. sqlx connects to it over a Unix socket, and
//! names and caches its statements as it would on a session. The relay answers the first request from memory, and
//! turns the second into one that depends on nothing before it.
//!
//! It rests on three invariants:
//!
//! 1. The pooler never sees a statement's name, and every Bind travels in the same Sync-terminated request as the
//!    Parse it refers to. So no server can run anything else for it.
//! 2. At most one request is in flight. So every answer belongs to it.
//! 3. What sqlx knows of a statement's columns is compared, byte for byte, with a Describe in the same request.
//!    A difference is passed on before the first row, or the rows are withheld.
//!
//! A BEGIN is answered at once, held back, and sent in front of its transaction's first statement; if it fails, the
//! server skips the statement. Outside a transaction, a statement that may write is preceded by one that makes it
//! read-only. Every statement is preceded by one that limits its time, unless the server does so by itself. Whatever
//! the relay does not understand is refused.
//!
//! | module | what |
//! |---|---|
//! | `frame` | bytes to messages, pure |
//! | `conversation` | requests and answers to messages, pure; with `begin`, `columns`, `descriptions`, `pending`, `statements` |
//! | `connection` | the I/O around it |
//!
//! The protocol: <https://www.postgresql.org/docs/current/protocol.html>.

mod begin;
mod columns;
mod connection;
mod conversation;
mod counters;
mod descriptions;
mod frame;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod model;
mod pending;
mod statements;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgDatabaseError};

pub(crate) use columns::{Column, is_readable_as};
pub(crate) use conversation::COLUMNS_CHANGED;
pub use counters::RelayCounters;
pub(crate) use frame::put_error;

use crate::limits::TimeLimits;
use crate::local_socket::LocalSocket;
use crate::loss::LastLoss;
use crate::upstream::Target;
use crate::url::ConnectionString;
use connection::Context;
use conversation::Shared;

/// A relay to one pooler. Once dropped, it accepts no more connections; open ones end with their clients.
#[derive(Debug)]
pub struct Relay {
    socket: LocalSocket,
    context: Arc<Context>,
}

impl Relay {
    /// Starts relaying to the pooler of `url`.
    ///
    /// `limits` apply to statements outside transactions. Those that may write, or all with `holds_reads`, are made
    /// read-only. `answer_timeout` is how long the pooler may stay silent while an answer is due.
    ///
    /// # Errors
    /// A sentence: the file of root certificates cannot be used, or the socket cannot be opened.
    pub fn start(
        url: &ConnectionString,
        limits: Arc<TimeLimits>,
        holds_reads: bool,
        answer_timeout: Duration,
    ) -> Result<Self, String> {
        let context = Arc::new(Context {
            target: Target::new(url)?,
            shared: Arc::new(Shared::new(limits, holds_reads)),
            answer_timeout,
            last_loss: LastLoss::default(),
        });
        let shared = context.clone();
        let socket = LocalSocket::open(url, move |client| connection::relay(shared.clone(), client))?;
        Ok(Self { socket, context })
    }

    /// The connect options of `url`, but through the relay.
    #[must_use]
    pub fn options(&self, url: &ConnectionString, application_name: &str) -> PgConnectOptions {
        self.socket.options(url, application_name)
    }

    /// Whether it accepts connections.
    #[must_use]
    pub fn is_accepting(&self) -> bool {
        self.socket.is_accepting()
    }

    /// The path of the socket it listens on.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.socket.path()
    }

    /// When the pooler last ended a connection.
    #[must_use]
    pub fn last_loss(&self) -> LastLoss {
        self.context.last_loss.clone()
    }

    /// What it has done so far.
    #[must_use]
    pub fn counters(&self) -> RelayCounters {
        self.context.shared.counters.now()
    }
}

/// Whether `error` comes from the relay itself, as opposed to the server or the pooler.
#[must_use]
pub fn is_of_relay(error: &dyn DatabaseError) -> bool {
    error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::routine) == Some(frame::ROUTINE)
}
