//! Why a connection failed, in a sentence for the operator.

use std::io::ErrorKind;

use super::url::ConnectionString;

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
        // What cannot even be tried is a sentence already, with the secret's name.
        sqlx::Error::Configuration(why) => return why.to_string(),
        sqlx::Error::Database(refusal) => {
            refused(url, refusal.code().as_deref().unwrap_or_default(), refusal.message())
        }
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
        return format!(
            "{} answers on IPv6 only, and this machine has no way there: use the session pooler (host <region>.pooler.supabase.com, port 5432, user postgres.<project-ref>) instead.",
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

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>; poolers answer most failures with 08P01.
fn refused(url: &ConnectionString, code: &str, message: &str) -> String {
    let address = url.address();
    let lower = message.to_lowercase();
    if lower.contains("tenant or user not found") || lower.contains("no such user") {
        return format!(
            "the pooler at {address} does not know the user: on Supabase it must be postgres.<project-ref>, and the host must be that of the project's region."
        );
    }
    if lower.contains("ssl required") {
        return format!("the server at {address} wants an encrypted connection: put sslmode=require or verify-full.");
    }
    match code {
        _ if lower.contains("password authentication failed")
            || code == "28P01"
            || lower.contains("sasl authentication failed") =>
        {
            format!(
                "the server at {address} refused the password: check it, and percent-encode its special characters (@ as %40, : as %3A, / as %2F, # as %23)."
            )
        }
        // The relay's own, and a sentence already.
        "08001" => format!("the connection to {address} failed: {message}."),
        "28000" => format!("the server at {address} refused the user ({message}): check user, database and sslmode."),
        "3D000" => {
            format!("the server at {address} has no database of that name: check the part after the last slash.")
        }
        _ if lower.contains("database") && lower.contains("does not exist") => {
            format!("the server at {address} has no database of that name: check the part after the last slash.")
        }
        "53300" => format!(
            "the server at {address} has no connection left ({message}): close other clients, or lower DIRECT_MAX_CONNECTIONS."
        ),
        "57P03" if lower.contains("nothing listens") => {
            format!("nothing listens at {address}: check host and port, and that the server runs.")
        }
        "57P03" => format!("the server at {address} is starting up or shutting down: try again."),
        _ => format!("the server at {address} refused the connection ({message}): check user, password and database."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::url::Secret;

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
    fn a_certificate_that_is_not_accepted_is_not_a_wrong_host() {
        let url = ConnectionString::parse(Secret::DatabaseUrl, "postgres://u:hunter2@127.0.0.1:6543/db").unwrap();
        let error = std::io::Error::new(ErrorKind::InvalidData, "invalid peer certificate: UnknownIssuer");
        let sentence = connection_failure(&url, &sqlx::Error::Io(error));
        assert!(sentence.contains("UnknownIssuer") && sentence.contains("sslrootcert"), "{sentence}");
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
