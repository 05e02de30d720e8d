//! Connection strings: read strictly, explained when wrong, never printed.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

/// The secret a connection string came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secret {
    /// The transaction pooler.
    DatabaseUrl,
    /// The direct connection.
    DirectUrl,
}

impl Secret {
    /// The secret's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DatabaseUrl => "DATABASE_URL",
            Self::DirectUrl => "DIRECT_URL",
        }
    }

    /// What belongs there, as a sentence.
    #[must_use]
    pub const fn what_to_put(self) -> &'static str {
        match self {
            Self::DatabaseUrl => {
                "Put the transaction pooler's connection string there, on Supabase: \
                 postgres://postgres.<project-ref>:<password>@<region>.pooler.supabase.com:6543/postgres"
            }
            Self::DirectUrl => {
                "Put the direct connection string there, on Supabase: \
                 postgres://postgres:<password>@db.<project-ref>.supabase.co:5432/postgres, \
                 or where there is no IPv6 the session pooler: \
                 postgres://postgres.<project-ref>:<password>@<region>.pooler.supabase.com:5432/postgres"
            }
        }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Parameters that Prisma reads from a URL and PostgreSQL does not know.
const PRISMA_ONLY: [&str; 6] =
    ["pgbouncer", "connection_limit", "pool_timeout", "statement_cache_size", "schema", "socket_timeout"];

/// A PostgreSQL URL that has been understood. Its `Debug` shows neither user nor password.
#[derive(Clone)]
pub struct ConnectionString {
    secret: Secret,
    host: String,
    port: u16,
    user: String,
    password: Option<SecretString>,
    database: String,
    ssl_mode: PgSslMode,
    ssl_root_cert: Option<String>,
    ignored: Vec<String>,
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({}:{})", self.secret, self.host, self.port)
    }
}

impl ConnectionString {
    /// Parses the value of `secret`.
    ///
    /// # Errors
    /// One sentence that names the secret, what is wrong with it, and what to put there; no part of the
    /// value but host, port and parameter names is repeated.
    pub fn parse(secret: Secret, value: &str) -> Result<Self, String> {
        Self::read(secret, value).map_err(|problem| format!("{secret} {problem} {}", secret.what_to_put()))
    }

    fn read(secret: Secret, value: &str) -> Result<Self, String> {
        const ENCODE: &str = "Special characters in the password must be percent-encoded (@ as %40, : as %3A, / as %2F, ? as %3F, # as %23).";

        if value.starts_with(['"', '\'']) {
            return Err("begins with a quotation mark: remove it.".into());
        }
        if !value.starts_with("postgres://") && !value.starts_with("postgresql://") {
            return Err("is not a PostgreSQL URL: it must begin with postgres:// or postgresql://.".into());
        }
        if value.contains("[YOUR-PASSWORD]") || value.contains("[YOUR_PASSWORD]") {
            return Err("still holds the placeholder for the password: put the database password in its place.".into());
        }
        let url = Url::parse(value).map_err(|why| format!("is malformed ({why}). {ENCODE}"))?;
        // The first of # / ? in a password ends it, and what follows lands in the fragment, path or query.
        let has_at = |part: Option<&str>| part.is_some_and(|part| part.contains('@'));
        if url.fragment().is_some()
            || has_at(url.query())
            || url.path().trim_start_matches('/').contains(['/', '@', ':'])
        {
            return Err(format!("is malformed (the password ends too early). {ENCODE}"));
        }
        let decode = |text: &str| {
            percent_encoding::percent_decode_str(text)
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| format!("is malformed (a percent-encoded part is not UTF-8). {ENCODE}"))
        };
        let mut host = decode(url.host_str().unwrap_or_default())?.trim_matches(['[', ']']).to_owned();
        if !host.starts_with('/') {
            host.make_ascii_lowercase();
        }
        let user = decode(url.username())?;
        let database = decode(url.path().trim_start_matches('/'))?;
        for (part, name) in [(&host, "host"), (&user, "user"), (&database, "database name")] {
            if part.is_empty() {
                return Err(format!("has no {name}."));
            }
        }
        let password = url.password().map(decode).transpose()?.map(SecretString::from);

        let mut read = Self {
            secret,
            host,
            port: url.port().unwrap_or(5432),
            user,
            password,
            database,
            ssl_mode: PgSslMode::Prefer,
            ssl_root_cert: None,
            ignored: Vec::new(),
        };
        let mut ssl_mode = None;
        for (key, value) in url.query_pairs() {
            match &*key {
                "sslmode" => {
                    let unknown = |_| "has an unknown sslmode: use require or verify-full.".to_owned();
                    ssl_mode = Some(value.parse().map_err(unknown)?);
                }
                "sslrootcert" => read.ssl_root_cert = Some(value.into_owned()),
                _ => read.ignored.push(key.into_owned()),
            }
        }
        read.set_ssl_mode(ssl_mode)?;
        read.check_supabase()?;
        Ok(read)
    }

    /// Over a network the connection is encrypted; on this machine it need not be. The modes mean what libpq means by
    /// them: <https://www.postgresql.org/docs/current/libpq-ssl.html>.
    fn set_ssl_mode(&mut self, asked: Option<PgSslMode>) -> Result<(), String> {
        let is_full = matches!(asked, None | Some(PgSslMode::VerifyFull));
        let asked = match self.ssl_root_cert.as_deref() {
            Some("system") if is_full => {
                self.ssl_root_cert = None;
                Some(PgSslMode::VerifyFull)
            }
            Some("system") => return Err("has sslrootcert=system, which needs sslmode=verify-full.".into()),
            Some(path) => {
                std::fs::metadata(path)
                    .map_err(|why| format!("names an sslrootcert file that cannot be read ({why})."))?;
                asked
            }
            None => asked,
        };
        self.ssl_mode = match asked {
            Some(PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer) if !self.is_loopback() => {
                return Err(
                    "has an sslmode that allows an unencrypted connection over a network: use require or verify-full."
                        .into(),
                );
            }
            // Anybody can get a certificate from a public authority.
            Some(PgSslMode::VerifyCa) if self.ssl_root_cert.is_none() => {
                return Err(
                    "has sslmode=verify-ca without sslrootcert=<file>: name the file, or use verify-full.".into()
                );
            }
            // As libpq: a root certificate is there to be checked against.
            Some(PgSslMode::Require) | None if self.ssl_root_cert.is_some() => PgSslMode::VerifyCa,
            Some(asked) => asked,
            None if self.is_loopback() => PgSslMode::Prefer,
            None => PgSslMode::Require,
        };
        Ok(())
    }

    /// What people paste wrongly from Supabase's dashboard.
    fn check_supabase(&self) -> Result<(), String> {
        if self.host.ends_with(".pooler.supabase.com") && !self.user.contains('.') {
            return Err("has a user without the project reference: Supabase's poolers need postgres.<project-ref>, not postgres.".into());
        }
        Ok(())
    }

    /// What is wrong with the two together, if anything. That they are equal is not: one PostgreSQL without a pooler can
    /// serve both doors.
    #[must_use]
    pub fn mixed_up(database: &Self, direct: &Self) -> Option<String> {
        // Elsewhere the ports may be anything; then the probe finds out.
        if direct.port != 6543 || !direct.is_supabase() {
            return None;
        }
        if database.port == 5432 {
            return Some(
                "DATABASE_URL and DIRECT_URL are swapped: DATABASE_URL is the transaction pooler (port 6543), DIRECT_URL \
                 the direct connection (port 5432). Exchange their values."
                    .to_owned(),
            );
        }
        Some(format!(
            "DIRECT_URL points at the transaction pooler (port 6543), but Socket.IO and migrations need a session. {}",
            Secret::DirectUrl.what_to_put()
        ))
    }

    /// The secret this came from.
    #[must_use]
    pub const fn secret(&self) -> Secret {
        self.secret
    }

    /// Host and port, for messages.
    #[must_use]
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The host alone.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// How the connection is encrypted, and the file of the authorities that are trusted.
    #[must_use]
    pub fn tls(&self) -> (PgSslMode, Option<&str>) {
        (self.ssl_mode, self.ssl_root_cert.as_deref())
    }

    /// Whether the host is a directory with a Unix socket in it.
    #[must_use]
    pub fn is_unix_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// Whether the server is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.is_unix_socket()
            || self.host == "localhost"
            || self.host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    }

    /// Whether this is Supabase's direct host, which answers on IPv6 only.
    #[must_use]
    pub fn is_supabase_direct(&self) -> bool {
        self.host.starts_with("db.") && self.host.ends_with(".supabase.co")
    }

    fn is_supabase(&self) -> bool {
        self.is_supabase_direct() || self.host.ends_with(".pooler.supabase.com")
    }

    /// A warning about parameters that were ignored: one sentence, or `None`.
    #[must_use]
    pub fn ignored_parameters(&self) -> Option<String> {
        if self.ignored.is_empty() {
            return None;
        }
        let names = self.ignored.join(", ");
        let whose = if self.ignored.iter().all(|name| PRISMA_ONLY.contains(&name.as_str())) {
            "only Prisma reads them"
        } else {
            "they are not known here"
        };
        Some(format!("{} has URL parameters that are ignored, because {whose}: {names}. Remove them.", self.secret))
    }

    /// Options for sqlx that mean what this string says, on any pooler: PgBouncer refuses the start-up
    /// parameters `extra_float_digits` and `options`, so neither is sent.
    #[must_use]
    pub fn options(&self, application_name: &str) -> PgConnectOptions {
        let mut options = self.identity(application_name).port(self.port).ssl_mode(self.ssl_mode);
        options = if self.is_unix_socket() { options.socket(&self.host) } else { options.host(&self.host) };
        if let Some(path) = &self.ssl_root_cert {
            options = options.ssl_root_cert(path);
        }
        options
    }

    /// Options for the same user and database, reached through a Unix socket in `directory`.
    #[must_use]
    pub fn options_through(&self, directory: &std::path::Path, port: u16, application_name: &str) -> PgConnectOptions {
        self.identity(application_name).port(port).socket(directory).ssl_mode(PgSslMode::Disable)
    }

    /// Who we are.
    fn identity(&self, application_name: &str) -> PgConnectOptions {
        let mut options = PgConnectOptions::new_without_pgpass()
            .username(&self.user)
            .database(&self.database)
            .application_name(application_name)
            .extra_float_digits(None);
        if let Some(password) = &self.password {
            options = options.password(password.expose_secret());
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(secret: Secret, value: &str) -> String {
        ConnectionString::parse(secret, value).unwrap_err()
    }

    #[test]
    fn understands_what_supabase_shows() {
        let url = ConnectionString::parse(
            Secret::DatabaseUrl,
            "postgresql://postgres.abcdefgh:p%40ss@aws-0-eu-west-1.pooler.supabase.com:6543/postgres?pgbouncer=true&connection_limit=1",
        )
        .unwrap();
        assert_eq!(url.address(), "aws-0-eu-west-1.pooler.supabase.com:6543");
        assert_eq!(url.password.as_ref().unwrap().expose_secret(), "p@ss");
        assert!(matches!(url.ssl_mode, PgSslMode::Require));
        let warning = url.ignored_parameters().unwrap();
        assert!(warning.contains("pgbouncer, connection_limit") && warning.contains("Prisma"), "{warning}");
        assert!(!format!("{url:?}").contains("p@ss"));
    }

    #[test]
    fn encrypts_as_libpq_would() {
        let file = std::env::current_exe().unwrap();
        let file = file.to_str().unwrap();
        let with_file = |mode: &str| format!("{mode}&sslrootcert={file}");
        for (parameters, mode, has_file) in [
            (String::new(), PgSslMode::Require, false),
            ("sslmode=require".into(), PgSslMode::Require, false),
            (with_file("sslmode=require"), PgSslMode::VerifyCa, true),
            (with_file("sslmode=verify-ca"), PgSslMode::VerifyCa, true),
            (with_file("sslmode=verify-full"), PgSslMode::VerifyFull, true),
            (with_file(""), PgSslMode::VerifyCa, true),
            ("sslmode=verify-full".into(), PgSslMode::VerifyFull, false),
            ("sslrootcert=system".into(), PgSslMode::VerifyFull, false),
        ] {
            let value = format!("postgres://u:p@db.example.com/db?{parameters}");
            let url = ConnectionString::parse(Secret::DatabaseUrl, &value).unwrap();
            let (found, roots) = url.tls();
            assert_eq!((format!("{found:?}"), roots.is_some()), (format!("{mode:?}"), has_file), "{parameters}");
        }
    }

    #[test]
    fn explains_every_mistake_without_repeating_the_password() {
        for (value, expected) in [
            ("mysql://u:hunter2@h/db", "must begin with postgres://"),
            ("\"postgres://u:hunter2@h/db\"", "quotation mark"),
            ("postgres://u:hunter2#x@127.0.0.1:5432/db", "percent-encoded"),
            ("postgres://u:hunter2/x@127.0.0.1:5432/db", "percent-encoded"),
            ("postgres://u:hunter2?x@127.0.0.1:5432/db", "percent-encoded"),
            ("postgres://u:7?hunter2@127.0.0.1:5432/db", "percent-encoded"),
            ("postgres://u:[YOUR-PASSWORD]@h/db", "placeholder"),
            ("postgres://u:hunter2@/db", "host"),
            ("postgres://:hunter2@127.0.0.1/db", "no user"),
            ("postgres://u:hunter2@127.0.0.1", "no database name"),
            ("postgres://u:hunter2@127.0.0.1:99999/db", "malformed"),
            ("postgres://u:hunter2@db.example.com/db?sslmode=disable", "unencrypted"),
            ("postgres://u:hunter2@db.example.com/db?sslmode=maybe", "sslmode"),
            ("postgres://u:hunter2@127.0.0.1/db?sslrootcert=/no/such/file", "sslrootcert"),
            ("postgres://u:hunter2@db.example.com/db?sslmode=verify-ca", "verify-full"),
            ("postgres://u:hunter2@db.example.com/db?sslmode=require&sslrootcert=system", "verify-full"),
            ("postgres://postgres:hunter2@aws-0-eu-west-1.pooler.supabase.com:6543/postgres", "postgres.<project-ref>"),
        ] {
            let problem = problem(Secret::DatabaseUrl, value);
            assert!(problem.starts_with("DATABASE_URL ") && problem.contains(expected), "{value}: {problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn names_swapped_urls() {
        let parse =
            |secret, server: &str| ConnectionString::parse(secret, &format!("postgres://u.ref:x@{server}/db")).unwrap();
        let both = |database: &str, direct: &str| {
            ConnectionString::mixed_up(&parse(Secret::DatabaseUrl, database), &parse(Secret::DirectUrl, direct))
        };
        let pooler = |port| format!("aws-0-eu-west-1.pooler.supabase.com:{port}");
        assert_eq!(both("127.0.0.1:5432", "127.0.0.1:5432"), None);
        assert!(both("db.abcdefgh.supabase.co:5432", &pooler(6543)).unwrap().contains("swapped"));
        assert!(
            both(&pooler(6543), "db.abcdefgh.supabase.co:6543")
                .unwrap()
                .contains("DIRECT_URL points at the transaction")
        );
        assert_eq!(both(&pooler(6543), &pooler(5432)), None);
        assert_eq!(both("127.0.0.1:5432", "127.0.0.1:6543"), None, "elsewhere ports say nothing");
    }
}
