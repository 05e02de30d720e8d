//! What an error of the database means for the caller: one table, for requests, sockets, health and start-up alike.
//!
//! Sources: [PostgreSQL, appendix A](https://www.postgresql.org/docs/current/errcodes-appendix.html);
//! [PgBouncer](https://www.pgbouncer.org/config.html), which answers its own complaints with 08P01; Supavisor, which answers
//! everything as FATAL XX000 with `(ECODE)` in the message.

use std::borrow::Cow;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::relay::is_of_relay;

/// What an error means for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The database, or the way to it, cannot serve at the moment: the same request may succeed later.
    TryAgainLater,
    /// The database accepts no writes at the moment, as Supabase does when its disk is nearly full. Reads still work.
    ReadOnly,
    /// What was asked can never succeed with these values.
    Never,
    /// A defect of ours, or of the database: trying again does not help.
    OurFault,
}

/// SQLSTATEs, or the beginnings of them, after which the same request may succeed later.
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
    if matches!(error, sqlx::Error::Configuration(why) if why.is::<ReadOnlyDatabase>()) {
        return Meaning::ReadOnly;
    }
    if error.as_database_error().is_some_and(|reported| supavisor_code(reported.message()).is_some()) {
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

/// A write was refused in a transaction that may write, because the database itself is read-only. The same SQLSTATE in a
/// read is a defect of the caller, and is not converted.
#[derive(Debug, thiserror::Error)]
#[error("the database is read-only ({0})")]
struct ReadOnlyDatabase(Box<dyn DatabaseError>);

/// The error of a statement that may write.
pub(crate) fn of_write(error: sqlx::Error) -> sqlx::Error {
    match error {
        sqlx::Error::Database(reported) if reported.code().as_deref() == Some("25006") => {
            sqlx::Error::Configuration(ReadOnlyDatabase(reported).into())
        }
        other => other,
    }
}

/// Whether the connection died before it answered. A pooler's own complaints (08P01) and time limits (08000, by the
/// relay) are not that: trying again would multiply the load on a database that is in trouble. Neither are errors of
/// such a code that a function raises in a living transaction.
pub(crate) fn is_dead(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(reported) => match reported.code().as_deref() {
            Some("57P01") => is_fatal(&**reported),
            Some("08006") => is_of_relay(&**reported),
            _ => false,
        },
        _ => false,
    }
}

/// Whether a session's prepared statement no longer fits the schema, and nothing was carried out: the result type has
/// changed, a type was recreated, or the statement is gone.
pub(crate) fn is_stale_statement(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(reported) = error else { return false };
    match reported.code().as_deref() {
        Some("0A000") => {
            let reported = reported.try_downcast_ref::<PgDatabaseError>();
            reported.and_then(PgDatabaseError::routine) == Some("RevalidateCachedQuery")
        }
        Some("26000") => true,
        Some("XX000") => reported.message().starts_with("cache lookup failed for type"),
        _ => false,
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

/// Whether a table, or the schema that it is in, does not exist.
pub(crate) fn is_missing_table(error: &sqlx::Error) -> bool {
    matches!(sqlstate(error).as_deref(), Some("42P01" | "3F000"))
}

/// Whether the server, or the pooler, ends the connection with this error.
fn is_fatal(error: &dyn DatabaseError) -> bool {
    error
        .try_downcast_ref::<PgDatabaseError>()
        .is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

/// Why a server or a pooler refused a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoSessionLeft,
    NoConnectionLeft,
    NoServerInTime,
    ServerLost,
    Blocked,
    UnknownTenant,
    NoTenant,
    NeedsEncryption,
    WrongPassword,
    WrongUser,
    NothingListens,
    NoDatabase,
    NotReady,
}

/// Failures that poolers distinguish only in the message, since they report most as 08P01 (PgBouncer) or XX000 (Supavisor):
/// a part of the message in lower case, and what it means.
const BY_MESSAGE: [(&str, Refusal); 20] = [
    ("emaxconnsession", Refusal::NoSessionLeft),
    ("maxclientsinsessionmode", Refusal::NoSessionLeft),
    ("max clients reached in session mode", Refusal::NoSessionLeft),
    ("(emaxconn)", Refusal::NoConnectionLeft),
    ("max client connections reached", Refusal::NoConnectionLeft),
    ("no more connections allowed", Refusal::NoConnectionLeft),
    ("(echeckouttimeout)", Refusal::NoServerInTime),
    ("(edbhandlerexited)", Refusal::ServerLost),
    ("(ecircuitbreaker)", Refusal::Blocked),
    ("(enotfound)", Refusal::UnknownTenant),
    ("tenant or user not found", Refusal::UnknownTenant),
    ("no such user", Refusal::UnknownTenant),
    ("(enoidentifier)", Refusal::NoTenant),
    ("no tenant identifier", Refusal::NoTenant),
    ("ssl required", Refusal::NeedsEncryption),
    ("(esslrequired)", Refusal::NeedsEncryption),
    ("password authentication failed", Refusal::WrongPassword),
    ("sasl authentication failed", Refusal::WrongPassword),
    ("nothing listens", Refusal::NothingListens),
    ("no such database", Refusal::NoDatabase),
];

impl Refusal {
    /// By the message, else by the SQLSTATE.
    pub(crate) fn find(reported: &dyn DatabaseError) -> Option<Self> {
        Self::find_by(reported.code().as_deref().unwrap_or_default(), reported.message())
    }

    pub(crate) fn find_by(code: &str, message: &str) -> Option<Self> {
        let lower = message.to_lowercase();
        let by_message = BY_MESSAGE.iter().find(|(part, _)| lower.contains(part)).map(|(_, refusal)| *refusal);
        by_message.or_else(|| {
            Some(match code {
                "28P01" => Self::WrongPassword,
                "28000" => Self::WrongUser,
                "3D000" => Self::NoDatabase,
                "53300" => Self::NoConnectionLeft,
                "57P03" => Self::NotReady,
                _ if lower.contains("database \"") && lower.contains("does not exist") => Self::NoDatabase,
                _ => return None,
            })
        })
    }

    /// Whether the secret's value is wrong.
    pub(crate) const fn is_in_the_value(self) -> bool {
        match self {
            Self::UnknownTenant
            | Self::NoTenant
            | Self::NeedsEncryption
            | Self::WrongPassword
            | Self::WrongUser
            | Self::NothingListens
            | Self::NoDatabase => true,
            Self::NoSessionLeft
            | Self::NoConnectionLeft
            | Self::NoServerInTime
            | Self::ServerLost
            | Self::Blocked
            | Self::NotReady => false,
        }
    }
}

/// The code with which Supavisor's own messages begin, as in `(EMAXCONN) max client connections reached`.
pub(crate) fn supavisor_code(message: &str) -> Option<&str> {
    let (code, _) = message.strip_prefix('(')?.split_once(')')?;
    (code.starts_with('E') && code.bytes().all(|byte| byte.is_ascii_uppercase())).then_some(code)
}
