//! What an error of the database means for the caller: one table, for requests, sockets, health and start-up alike.
//!
//! Sources: [PostgreSQL, appendix A](https://www.postgresql.org/docs/current/errcodes-appendix.html);
//! [PgBouncer](https://www.pgbouncer.org/config.html), which answers its own complaints with 08P01; Supavisor, which answers
//! everything as FATAL XX000 with `(ECODE)` in the message.

use std::borrow::Cow;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// What an error means for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The database, or the way to it, cannot serve at the moment: the same may succeed later.
    TryAgainLater,
    /// What was asked can never succeed with these values.
    Never,
    /// A defect of ours, or of the database: trying again does not help.
    OurFault,
}

/// SQLSTATEs, or the beginnings of them, after which the same may succeed.
const TRY_AGAIN_LATER: [(&str, &str); 11] = [
    ("08", "connection exception; PgBouncer's own complaints"),
    ("53", "insufficient resources: disk full, out of memory, too many connections"),
    ("57P0", "the server shuts down, has crashed, or starts up"),
    ("57014", "statement timeout"),
    ("55P03", "lock timeout"),
    ("40001", "serialization failure"),
    ("40P01", "deadlock"),
    ("25P03", "idle in transaction timeout"),
    ("25P04", "transaction timeout"),
    ("58000", "system error"),
    ("58030", "I/O error"),
];

/// SQLSTATEs of values that the database cannot store.
const NEVER: [(&str, &str); 2] = [("22021", "NUL in text"), ("22P05", "NUL in JSON")];

/// What `error` means.
#[must_use]
pub fn meaning(error: &sqlx::Error) -> Meaning {
    if is_connection_loss(error) || matches!(error, sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed) {
        return Meaning::TryAgainLater;
    }
    let Some(code) = sqlstate(error) else { return Meaning::OurFault };
    let is_one_of = |table: &[(&str, &str)]| table.iter().any(|(known, _)| code.starts_with(known));
    if is_one_of(&TRY_AGAIN_LATER) {
        Meaning::TryAgainLater
    } else if is_one_of(&NEVER) {
        Meaning::Never
    } else {
        Meaning::OurFault
    }
}

/// The SQLSTATE of an error that the database (or its pooler) reported.
#[must_use]
pub fn sqlstate(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error().and_then(DatabaseError::code)
}

/// Whether `error` is the loss of a connection, as opposed to an answer of the database. FATAL means that the connection is
/// gone, whatever the code.
#[must_use]
pub fn is_connection_loss(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(reported) => {
            // 08xxx, 57P0x: poolers report a lost server as an ordinary error too.
            is_fatal(&**reported)
                || reported.code().is_some_and(|code| code.starts_with("57P0") || code.starts_with("08"))
        }
        _ => false,
    }
}

/// Whether the server, or the pooler, ends the connection with this error.
pub(crate) fn is_fatal(error: &dyn DatabaseError) -> bool {
    error
        .try_downcast_ref::<PgDatabaseError>()
        .is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}
