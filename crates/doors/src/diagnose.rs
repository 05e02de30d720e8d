//! Why a connection failed, in a sentence for the operator.

use std::io::ErrorKind;

use super::url::{ConnectionString, Secret};
use crate::PoolerWire;
use crate::meaning::{Refusal, supavisor_code};
use crate::relay::is_of_relay;

/// Explains `error`, met while connecting with `url`: names the secret, what is wrong, and what to put there.
/// Repeats no part of the URL but host and port.
#[must_use]
pub fn connection_failure(url: &ConnectionString, error: &sqlx::Error) -> String {
    let secret = url.secret();
    let address = url.address();
    let what = match error {
        sqlx::Error::Io(io) => unreachable_host(url, io),
        sqlx::Error::PoolTimedOut => format!(
            "the server at {address} did not answer in time: check host and port, and that this machine may reach it."
        ),
        sqlx::Error::Tls(why) => encryption_failed(&address, why),
        // sqlx's own message repeats the character.
        sqlx::Error::Configuration(why) if why.to_string().starts_with("Failed to saslprep") => {
            let part = if why.to_string().contains("username") { "user" } else { "password" };
            return format!(
                "{secret}: the {part} has a character that cannot be proven to the server (an emoji, or an unassigned or control \
                 character): choose a {part} without it."
            );
        }
        // What cannot even be tried is a sentence already, with the secret's name.
        sqlx::Error::Configuration(why) => return why.to_string(),
        sqlx::Error::Database(reported) => match Refusal::find(&**reported) {
            // The value is right; another one would not help.
            Some(refusal) if !refusal.is_in_the_value() => return format!("{secret}: {}", refused(url, refusal)),
            Some(refusal) => refused(url, refusal),
            // The relay's own, and a sentence already.
            None if reported.code().as_deref() == Some("08001") => {
                format!("the connection to {address} failed: {}.", reported.message())
            }
            None => {
                let code = reported.code().unwrap_or_default();
                // The rest of Supavisor's messages may name the user.
                let why = supavisor_code(reported.message()).unwrap_or(reported.message());
                return format!(
                    "{secret}: the server at {address} refused a statement ({code}, {why}). Try again; if it stays so, its log says more."
                );
            }
        },
        _ => format!("the server at {address} did not answer like PostgreSQL: check host and port."),
    };
    format!("{secret}: {what} {}", secret.what_to_put())
}

fn unreachable_host(url: &ConnectionString, io: &std::io::Error) -> String {
    let address = url.address();
    // Where the machine has no IPv6 route, or its resolver drops IPv6 addresses, these are what it says.
    let no_route =
        matches!(io.kind(), ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::AddrNotAvailable);
    // A failed look-up has neither a kind of its own nor an OS error.
    let other_kinds =
        [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset, ErrorKind::TimedOut, ErrorKind::UnexpectedEof];
    let no_address = !other_kinds.contains(&io.kind()) && io.raw_os_error().is_none();
    if url.is_supabase_direct() && (no_route || no_address) {
        let (pooler, port) = match url.secret() {
            Secret::DatabaseUrl => ("transaction pooler", 6543),
            Secret::DirectUrl => ("session pooler", 5432),
        };
        return format!(
            "{} answers on IPv6 only, and this machine has no way there: use the {pooler} (host <region>.pooler.supabase.com, port {port}, user postgres.<project-ref>) instead.",
            url.host()
        );
    }
    match io.kind() {
        ErrorKind::ConnectionRefused => {
            format!("nothing listens at {address}: check host and port, and that the server runs.")
        }
        ErrorKind::TimedOut => format!(
            "the server at {address} did not answer in time: check host and port, and that this machine may reach it."
        ),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => {
            format!("the server at {address} hung up: check host and port, and that it is PostgreSQL or its pooler.")
        }
        // So rustls reports a certificate that it does not accept.
        ErrorKind::InvalidData => encryption_failed(&address, io),
        _ if no_route => format!("there is no way to {address} from this machine: check the host."),
        _ => format!("{address} cannot be reached ({io}): check the host."),
    }
}

fn encryption_failed(address: &str, why: &impl std::fmt::Display) -> String {
    format!("the encrypted connection to {address} failed ({why}): check sslmode and sslrootcert.")
}

/// Explains `error`, met at the first statement that went through the pooler door. `wire` is how the door speaks to the
/// pooler, which had accepted connections and answered the probe's simpler requests.
#[must_use]
pub fn first_statement_failure(url: &ConnectionString, wire: PoolerWire, error: &sqlx::Error) -> String {
    let no_answer = "did not answer a statement in time. It may be out of servers: try again, or close other clients";
    let what = match error {
        sqlx::Error::PoolTimedOut => no_answer.to_owned(),
        sqlx::Error::Protocol(_) => "broke the protocol".to_owned(),
        sqlx::Error::BeginFailed => "did not begin a transaction".to_owned(),
        sqlx::Error::Io(_) => "hung up on a statement".to_owned(),
        sqlx::Error::Database(reported) => match reported.code().as_deref() {
            Some("08000") if is_of_relay(&**reported) => no_answer.to_owned(),
            Some("08006") if is_of_relay(&**reported) => "hung up on a statement".to_owned(),
            Some("08P01") if is_of_relay(&**reported) => format!("broke the protocol ({})", reported.message()),
            // A syntax error in BEGIN, or a kind of statement that it does not pass on.
            Some(code @ ("42601" | "0A000")) => format!("refused a statement ({code}, {})", reported.message()),
            _ => return connection_failure(url, error),
        },
        _ => return connection_failure(url, error),
    };
    let other = match wire {
        PoolerWire::Pipelined => PoolerWire::Plain,
        PoolerWire::Plain => PoolerWire::Pipelined,
    };
    format!(
        "{}: the pooler at {} {what}. It accepts connections and answers simple queries, so it may not be able to carry \
         POOLER_WIRE={wire}: then put POOLER_WIRE={other}.",
        url.secret(),
        url.address()
    )
}

fn refused(url: &ConnectionString, refusal: Refusal) -> String {
    let address = url.address();
    match (refusal, url.secret()) {
        (Refusal::NoSessionLeft, Secret::DirectUrl) => format!(
            "the session pooler at {address} has no session left. Each process holds up to DIRECT_MAX_CONNECTIONS, and in \
             a rolling deploy the old one and the new one run at once: lower that setting so that both fit into the \
             pool size, raise the pool size in Supabase's database settings, or use the direct connection."
        ),
        (Refusal::NoSessionLeft, Secret::DatabaseUrl) => format!(
            "there is a session pooler at {address}, and it has no session left. {}",
            Secret::DatabaseUrl.what_to_put()
        ),
        (Refusal::NoConnectionLeft, secret) => format!(
            "the server at {address} has no connection left: close other clients, or lower {}.",
            match secret {
                Secret::DatabaseUrl => "POOLER_MAX_CONNECTIONS",
                Secret::DirectUrl => "DIRECT_MAX_CONNECTIONS",
            }
        ),
        (Refusal::NoServerInTime, _) => format!(
            "the pooler at {address} had no server free in time: look for slow statements and idle transactions, or raise the pool size in Supabase's database settings, and start again."
        ),
        (Refusal::ServerLost, _) => format!(
            "the pooler at {address} has lost its connection to the database: check that the project is not paused or restarting, and start again."
        ),
        (Refusal::Blocked, secret) => format!(
            "the pooler at {address} blocks new connections for some minutes, after too many failed logins: check the password in {secret} and in every other process that uses it, then wait and start again."
        ),
        (Refusal::UnknownTenant, _) => format!(
            "the pooler at {address} does not know the user: on Supabase it must be postgres.<project-ref>, and the host must be that of the project's region."
        ),
        (Refusal::NoTenant, _) => format!(
            "the pooler at {address} cannot tell which project is meant: on Supabase the user must be postgres.<project-ref>, not postgres."
        ),
        (Refusal::NeedsEncryption, _) => {
            format!("the server at {address} requires an encrypted connection: add sslmode=require or verify-full.")
        }
        (Refusal::WrongPassword, _) => format!(
            "the server at {address} refused the password: check it, and percent-encode its special characters (@ as %40, : as %3A, / as %2F, # as %23)."
        ),
        (Refusal::WrongUser, _) => {
            format!("the server at {address} refused the user: check user, database and sslmode, and its pg_hba.conf.")
        }
        (Refusal::NothingListens, _) => {
            format!("nothing listens at {address}: check host and port, and that the server runs.")
        }
        (Refusal::NoDatabase, _) => {
            format!("the server at {address} has no database of that name: check the part after the last slash.")
        }
        (Refusal::NotReady, _) => format!("the server at {address} is starting up or shutting down: try again."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io(kind: ErrorKind) -> sqlx::Error {
        sqlx::Error::Io(kind.into())
    }

    #[test]
    fn an_ipv6_only_host_gets_its_own_sentence() {
        let direct = ConnectionString::parse(
            Secret::DirectUrl,
            "postgres://postgres:hunter2@db.abcdefgh.supabase.co:5432/postgres",
        )
        .unwrap();
        for error in [
            io(ErrorKind::NetworkUnreachable),
            sqlx::Error::Io(std::io::Error::other("failed to lookup address information")),
        ] {
            let sentence = connection_failure(&direct, &error);
            assert!(sentence.starts_with("DIRECT_URL: ") && sentence.contains("IPv6 only"), "{sentence}");
            assert!(!sentence.contains("hunter2"));
        }
        for error in [io(ErrorKind::ConnectionRefused), io(ErrorKind::UnexpectedEof), io(ErrorKind::TimedOut)] {
            assert!(!connection_failure(&direct, &error).contains("IPv6 only,"), "{error}");
        }
    }

    #[test]
    fn a_pooled_url_at_an_ipv6_only_host_gets_the_poolers_address() {
        let url = "postgres://postgres:hunter2@db.abcdefgh.supabase.co:5432/postgres";
        let pooled = ConnectionString::parse(Secret::DatabaseUrl, url).unwrap();
        let sentence = connection_failure(&pooled, &io(ErrorKind::NetworkUnreachable));
        assert!(sentence.contains("IPv6 only") && sentence.contains("transaction pooler"), "{sentence}");
        assert!(sentence.contains("port 6543"), "{sentence}");
    }

    #[test]
    fn a_password_that_cannot_be_proven_is_not_repeated() {
        let url = ConnectionString::parse(Secret::DirectUrl, "postgres://u:p@127.0.0.1:5432/db").unwrap();
        let error = sqlx::Error::Configuration("Failed to saslprep password: ProhibitedCharacter('🦀')".into());
        let sentence = connection_failure(&url, &error);
        assert!(sentence.starts_with("DIRECT_URL: the password has a character"), "{sentence}");
        assert!(!sentence.contains('🦀'), "{sentence}");
    }

    #[test]
    fn a_certificate_that_is_not_accepted_is_not_a_wrong_host() {
        let url = ConnectionString::parse(Secret::DatabaseUrl, "postgres://u:hunter2@127.0.0.1:6543/db").unwrap();
        let error = std::io::Error::new(ErrorKind::InvalidData, "invalid peer certificate: UnknownIssuer");
        let sentence = connection_failure(&url, &sqlx::Error::Io(error));
        assert!(sentence.contains("UnknownIssuer") && sentence.contains("sslrootcert"), "{sentence}");
    }

    #[test]
    fn poolers_are_understood_by_their_words() {
        for (message, expected) in [
            (
                "(EMAXCONNSESSION) max clients reached in session mode - max clients are limited to pool_size: 15",
                "no session left",
            ),
            (
                "MaxClientsInSessionMode: max clients reached - in Session mode max clients are limited to pool_size",
                "no session left",
            ),
            ("(EMAXCONN) max client connections reached, limit: 200", "no connection left"),
            ("(ECHECKOUTTIMEOUT) Pool checkout timeout. Request was dropped after 60000ms", "no server free in time"),
            ("(EDBHANDLEREXITED) connection to database closed. Check logs for more information", "not paused"),
            (
                "(ECIRCUITBREAKER) too many authentication failures, new connections are temporarily blocked",
                "failed logins",
            ),
            ("(ENOTFOUND) tenant/user postgres.abcdefgh not found", "does not know the user"),
            ("Tenant or user not found", "does not know the user"),
            ("(ENOIDENTIFIER) no tenant identifier provided (external_id or sni_hostname required)", "which project"),
            ("(ESSLREQUIRED) SSL connection is required", "encrypted"),
        ] {
            let url = ConnectionString::parse(Secret::DirectUrl, "postgres://u:hunter2@127.0.0.1:5432/db").unwrap();
            let sentence = refused(&url, Refusal::find_by("XX000", message).unwrap());
            assert!(sentence.contains(expected) && !sentence.contains("abcdefgh"), "{message}: {sentence}");
        }
    }

    #[test]
    fn every_failure_names_the_secret_and_the_address() {
        let url = ConnectionString::parse(Secret::DatabaseUrl, "postgres://u:hunter2@127.0.0.1:6543/db").unwrap();
        for error in [
            io(ErrorKind::ConnectionRefused),
            io(ErrorKind::TimedOut),
            io(ErrorKind::UnexpectedEof),
            sqlx::Error::PoolTimedOut,
            sqlx::Error::WorkerCrashed,
        ] {
            let sentence = connection_failure(&url, &error);
            assert!(sentence.starts_with("DATABASE_URL: ") && sentence.contains("127.0.0.1:6543"), "{sentence}");
        }
    }
}
