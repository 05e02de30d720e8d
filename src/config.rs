//! The settings, read once at start from Shuttle's secrets or from the environment.

mod files;
mod mail;
mod stripe;
mod supabase;

use std::fmt;
use std::time::Duration;

use doors::url::{ConnectionString, Secret};
use doors::{DirectSettings, PoolerLimits, PoolerSettings, PoolerWire};
use lettre::message::Mailbox;
use secrecy::{ExposeSecret, SecretString};

use crate::files::{Scanner, StoreSettings};
use crate::limits::{Quotas, TrustedProxies};
use crate::web::origin::AllowedOrigins;
use crate::web::text;
pub use stripe::StripeSettings;
pub use supabase::SupabaseSettings;

/// The heartbeat of Socket.IO connections.
#[derive(Debug, Clone, Copy)]
pub struct Heartbeat {
    /// The time between two pings.
    pub interval: Duration,
    /// The maximum time from ping to pong.
    pub timeout: Duration,
}

/// The limits of HTTP connections.
#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    /// `REQUEST_HEAD_TIMEOUT_S`: how long a client may take to send the head of a request, 1 to 300, default 10.
    pub head_timeout: Duration,
    /// `REQUEST_BODY_TIMEOUT_S`: how long it may take to send a body, 1 to 300, default 20.
    pub body_timeout: Duration,
    /// `KEEP_ALIVE_S`: how long a connection waits for its next request, 1 to 3600, default 75.
    pub keep_alive: Duration,
    /// `MAX_CONNECTIONS`: connections at once, 16 to 1000000, default 10000.
    pub max_connections: usize,
    /// `MAX_CONNECTIONS_PER_ADDRESS`: of these from one address that is not private, 1 to 1000000, default 1000.
    pub max_connections_per_address: usize,
}

/// How many sockets may be connected without having entered the namespace.
#[derive(Debug, Clone, Copy)]
pub struct WaitingLimits {
    /// `MAX_WAITING_SOCKETS`: in all, 1 to 100000, default 4096.
    pub in_all: usize,
    /// `MAX_WAITING_SOCKETS_PER_ADDRESS`: from one address that is not private, 1 to 100000, default 256.
    pub per_address: usize,
}

/// How e-mail is sent.
#[derive(Debug, Clone)]
pub struct MailSettings {
    pub smtp_url: SecretString,
    pub from: Mailbox,
    /// The maximum time of an attempt.
    pub timeout: Duration,
}

/// The first admin.
#[derive(Debug, Clone)]
pub struct FirstAdmin {
    /// In lower case.
    pub email: String,
    pub password: SecretString,
}

/// Every statement of the direct door finds its rows by an index. A plan that is made while a table is still empty would
/// scan the table instead. It is kept until the table is analyzed, and is a hundred times slower by then.
pub const DIRECT_SESSION: [&str; 3] =
    ["set plan_cache_mode = force_generic_plan", "set jit = off", "set enable_seqscan = off"];

/// The configuration. Each field names its secret, unit and default.
#[derive(Debug, Clone)]
pub struct Config {
    /// `DATABASE_URL`: the transaction pooler, for REST. Required.
    pub database_url: ConnectionString,
    /// `DIRECT_URL`: a direct connection or a session pooler, for Socket.IO and migrations. Required.
    pub direct_url: ConnectionString,
    /// `JWT_SECRET`: signs access tokens (HS256), at least 32 bytes. Required.
    pub jwt_secret: SecretString,
    /// `POOLER_WIRE`: `pipelined` (default) or `plain`. `POOLER_LIMITS`: `role` (default) or `statement`.
    /// `POOLER_MAX_CONNECTIONS`: client connections to the pooler, 1 to 500, default 32. `STATEMENT_TIMEOUT_S`: the longest a
    /// statement may run, in seconds, 1 to 60, default 5.
    pub pooler: PoolerSettings,
    /// `DIRECT_MAX_CONNECTIONS`: this process's direct connections, 4 to 15, default 15. `STATEMENT_TIMEOUT_S`, as above.
    pub direct: DirectSettings,
    /// `ACCESS_TOKEN_EXPIRES_IN_S`: lifetime of an access token, in seconds, 60 to 86400, default 3600.
    pub access_token_expires_in: Duration,
    /// `REFRESH_TOKEN_EXPIRES_IN_S`: lifetime of a refresh token, in seconds, default 30 days.
    pub refresh_token_expires_in: Duration,
    /// `SOCKET_TOKEN_GRACE_S`: how long after its expiry a token still opens a socket while its login is valid, in seconds,
    /// 0 (not at all) to 30 days, default 86400.
    pub socket_token_grace: Duration,
    /// `PING_INTERVAL_S`, `PING_TIMEOUT_S`: how often the server pings a socket, and how long it waits for the pong, in
    /// seconds, 1 to 300 each, default 25 and 20.
    pub heartbeat: Heartbeat,
    pub http: HttpLimits,
    pub waiting_sockets: WaitingLimits,
    /// `TRUSTED_PROXIES`: comma-separated networks and addresses of the proxies in front, whose `X-Forwarded-For` says where
    /// a request comes from. Default: none.
    pub trusted_proxies: TrustedProxies,
    /// `LIMITS`: comma-separated `name=most/seconds` for limits that replace the defaults: `most` at once, and as many again
    /// over the seconds. The names are those of the `RateLimit-Policy` header.
    pub quotas: Quotas,
    /// `ALLOWED_ORIGINS`: comma-separated origins of browser clients; exact, or `https://*.suffix`. Default: none.
    pub allowed_origins: AllowedOrigins,
    /// `SMTP_URL`: the mail server, `smtps://user:password@host` or `smtp://user:password@host:587?tls=required`.
    /// `MAIL_FROM`: the sender, `STM <mail@example.com>`. Both or neither; without them e-mail is shown in the log of a
    /// development machine, and waits elsewhere. `SMTP_TIMEOUT_S`: the longest an attempt may take, in seconds, 1 to 300,
    /// default 60.
    pub mail: Option<MailSettings>,
    /// `SUPABASE_URL`: the project whose access tokens are accepted; without it none are. Of no effect without it are
    /// `SUPABASE_JWT_SECRET`, the project's legacy secret (HS256), at least 32 bytes, and `SUPABASE_PUBLISHABLE_KEY`, with
    /// which the project is asked whether a user has verified their e-mail address.
    pub supabase: Option<SupabaseSettings>,
    /// `STRIPE_SECRET_KEY`, `STRIPE_WEBHOOK_SECRET`: invoices are made at Stripe. Both or neither; without them the
    /// customer pays the provider directly. `STRIPE_API_BASE`: where Stripe is, default `https://api.stripe.com`.
    pub stripe: Option<StripeSettings>,
    /// `ADMIN_EMAIL`, `ADMIN_PASSWORD`: the first admin, made once. Both or neither.
    pub first_admin: Option<FirstAdmin>,
    /// `PUBLIC_URL`: where clients reach this server, as it stands before the paths of files. Default:
    /// `http://localhost:<PORT>`.
    pub public_url: String,
    /// `STORAGE_URL`, `STORAGE_KEY`, `STORAGE_SECRET`, `STORAGE_BUCKET`: an S3 endpoint and its bucket. All or none;
    /// `STORAGE_REGION` is `us-east-1` by default. Without them files are in the directory `FILES_DIR`, default `files`.
    pub(crate) storage: StoreSettings,
    /// `CLAMD_URL`: clamd, which scans every file before it is stored: `tcp://host:3310` or `unix:///path`. Default: none.
    pub(crate) scanner: Option<Scanner>,
    /// `DEMO_DATA`: load demo users and services at start; refused unless both databases are on this machine.
    pub demo_data: bool,
    /// Settings that no longer have an effect, as sentences for the log.
    pub warnings: Vec<String>,
}

/// All errors of the configuration.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError(Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads the configuration from `lookup`, which returns a value by its secret's name. An empty value counts as
    /// missing.
    ///
    /// # Errors
    /// Names every missing or malformed setting and what to put there. Never shows a value.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut read = Reader { lookup, problems: Vec::new() };

        let database_url = read.connection_string(Secret::DatabaseUrl);
        let direct_url = read.connection_string(Secret::DirectUrl);
        if let (Some(database), Some(direct)) = (&database_url, &direct_url)
            && let Some(problem) = ConnectionString::mixed_up(database, direct)
        {
            read.problems.push(problem);
        }
        let jwt_secret = read.jwt_secret();
        let pooler_wire = read.one_of("POOLER_WIRE", PoolerWire::ALL.map(|wire| (wire.as_str(), wire)));
        let pooler_limits = read.one_of("POOLER_LIMITS", PoolerLimits::ALL.map(|limits| (limits.as_str(), limits)));
        let warnings = read.retired();
        let pooler_max_connections = read.number(
            "POOLER_MAX_CONNECTIONS",
            32,
            *PoolerSettings::MAX_CONNECTIONS.start(),
            *PoolerSettings::MAX_CONNECTIONS.end(),
        );
        let direct_max_connections = read.number(
            "DIRECT_MAX_CONNECTIONS",
            DirectSettings::MOST_CONNECTIONS,
            4,
            DirectSettings::MOST_CONNECTIONS,
        );
        let statement_timeout = Duration::from_secs(read.number("STATEMENT_TIMEOUT_S", 5, 1, 60).into());
        let access_token_expires_in_s = read.number("ACCESS_TOKEN_EXPIRES_IN_S", 3600, 60, 86_400);
        let refresh_token_expires_in_s = read.number("REFRESH_TOKEN_EXPIRES_IN_S", 30 * 86_400, 3600, 365 * 86_400);
        let socket_token_grace_s = read.number("SOCKET_TOKEN_GRACE_S", 86_400, 0, 30 * 86_400);
        let ping_interval_s = read.number("PING_INTERVAL_S", 25, 1, 300);
        let ping_timeout_s = read.number("PING_TIMEOUT_S", 20, 1, 300);
        let http = read.http_limits();
        let waiting_sockets = WaitingLimits {
            in_all: read.count("MAX_WAITING_SOCKETS", 4096, 1, 100_000),
            per_address: read.count("MAX_WAITING_SOCKETS_PER_ADDRESS", 256, 1, 100_000),
        };
        let (trusted_proxies, quotas) = (read.trusted_proxies(), read.quotas());
        let allowed_origins = read.allowed_origins();
        let (public_url, storage, scanner) = (read.public_url(), read.storage(), read.scanner());
        let (mail, stripe, first_admin) = (read.mail(), read.stripe(), read.first_admin());
        let supabase = read.supabase(jwt_secret.as_ref());
        let demo_data = read.flag("DEMO_DATA");
        if demo_data && [&database_url, &direct_url].into_iter().flatten().any(|url| !url.is_loopback()) {
            read.problems
                .push("DEMO_DATA is for a database on this machine: its passwords are public. Remove it.".into());
        }

        match (database_url, direct_url, jwt_secret) {
            (Some(database_url), Some(direct_url), Some(jwt_secret)) if read.problems.is_empty() => Ok(Self {
                database_url,
                direct_url,
                jwt_secret,
                pooler: PoolerSettings {
                    max_connections: pooler_max_connections,
                    statement_timeout,
                    wire: pooler_wire,
                    limits: pooler_limits,
                    application_name: "stm-pooler",
                    ..PoolerSettings::default()
                },
                direct: DirectSettings {
                    max_connections: direct_max_connections,
                    statement_timeout,
                    application_name: "stm-direct",
                    session: &DIRECT_SESSION,
                },
                access_token_expires_in: Duration::from_secs(access_token_expires_in_s.into()),
                refresh_token_expires_in: Duration::from_secs(refresh_token_expires_in_s.into()),
                socket_token_grace: Duration::from_secs(socket_token_grace_s.into()),
                heartbeat: Heartbeat {
                    interval: Duration::from_secs(ping_interval_s.into()),
                    timeout: Duration::from_secs(ping_timeout_s.into()),
                },
                http,
                waiting_sockets,
                trusted_proxies,
                quotas,
                allowed_origins,
                mail,
                supabase,
                stripe,
                first_admin,
                public_url,
                storage,
                scanner,
                demo_data,
                warnings,
            }),
            _ => Err(ConfigError(read.problems)),
        }
    }
}

/// The trimmed value of a setting; an empty one counts as missing.
pub fn setting(lookup: impl Fn(&str) -> Option<String>, name: &str) -> Option<String> {
    lookup(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Reads values and collects their errors.
struct Reader<L> {
    lookup: L,
    problems: Vec<String>,
}

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    fn get(&self, name: &str) -> Option<String> {
        setting(&self.lookup, name)
    }

    fn connection_string(&mut self, secret: Secret) -> Option<ConnectionString> {
        let parsed = match self.get(secret.name()) {
            Some(value) => ConnectionString::parse(secret, &value),
            None => Err(format!("{secret} is missing. {}", secret.what_to_put())),
        };
        parsed.map_err(|problem| self.problems.push(problem)).ok()
    }

    fn jwt_secret(&mut self) -> Option<SecretString> {
        const ADVICE: &str = "Put at least 32 random bytes there, for example the output of `openssl rand -base64 48`.";
        match self.get("JWT_SECRET").map(SecretString::from) {
            Some(value) if value.expose_secret().len() >= 32 => return Some(value),
            Some(_) => self.problems.push(format!("JWT_SECRET is shorter than 32 bytes. {ADVICE}")),
            None => self.problems.push(format!("JWT_SECRET is missing. {ADVICE}")),
        }
        None
    }

    /// The first of `choices` is the default.
    fn one_of<T: Copy>(&mut self, name: &str, choices: [(&str, T); 2]) -> T {
        let [default, other] = choices;
        match self.get(name).as_deref() {
            None => default.1,
            Some(value) if value == default.0 => default.1,
            Some(value) if value == other.0 => other.1,
            Some(_) => {
                self.problems
                    .push(format!("{name} must be `{}` or `{}`. Leave it out for {}.", default.0, other.0, default.0));
                default.1
            }
        }
    }

    fn number(&mut self, name: &str, default: u32, min: u32, max: u32) -> u32 {
        match self.get(name).map(|value| value.parse::<u32>()) {
            None => default,
            Some(Ok(value)) if (min..=max).contains(&value) => value,
            Some(_) => {
                self.problems
                    .push(format!("{name} must be a whole number from {min} to {max}. Leave it out for {default}."));
                default
            }
        }
    }

    fn count(&mut self, name: &str, default: u32, min: u32, max: u32) -> usize {
        usize::try_from(self.number(name, default, min, max)).unwrap_or(usize::MAX)
    }

    fn http_limits(&mut self) -> HttpLimits {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        HttpLimits {
            head_timeout: seconds(self.number("REQUEST_HEAD_TIMEOUT_S", 10, 1, 300)),
            body_timeout: seconds(self.number("REQUEST_BODY_TIMEOUT_S", 20, 1, 300)),
            keep_alive: seconds(self.number("KEEP_ALIVE_S", 75, 1, 3600)),
            max_connections: self.count("MAX_CONNECTIONS", 10_000, 16, 1_000_000),
            max_connections_per_address: self.count("MAX_CONNECTIONS_PER_ADDRESS", 1000, 1, 1_000_000),
        }
    }

    fn flag(&mut self, name: &str) -> bool {
        match self.get(name).as_deref() {
            None | Some("false" | "0") => false,
            Some("true" | "1") => true,
            Some(_) => {
                self.problems.push(format!("{name} must be `true` or `false`."));
                false
            }
        }
    }

    /// Warnings about settings that no longer exist.
    fn retired(&self) -> Vec<String> {
        self.get("POOLER_STATEMENTS")
            .map(|_| {
                "POOLER_STATEMENTS is gone and has no effect: no statement has a name on the pooler any more, \
                 and POOLER_WIRE=pipelined, the default, saves more round trips than names did. Remove it."
                    .to_owned()
            })
            .into_iter()
            .collect()
    }

    fn first_admin(&mut self) -> Option<FirstAdmin> {
        let (email, password) = (self.get("ADMIN_EMAIL"), self.get("ADMIN_PASSWORD").map(SecretString::from));
        let is_given = email.is_some();
        let email = email.as_deref().and_then(text::email);
        match (email, password) {
            (Some(email), Some(password)) if (12..=256).contains(&password.expose_secret().len()) => {
                return Some(FirstAdmin { email, password });
            }
            (None, _) if is_given => self.problems.push("ADMIN_EMAIL must be an e-mail address.".into()),
            (None, None) => {}
            (None, Some(_)) => self.problems.push("ADMIN_PASSWORD needs ADMIN_EMAIL: set both or neither.".into()),
            (Some(_), _) => self.problems.push("ADMIN_PASSWORD must be 12 to 256 bytes.".into()),
        }
        None
    }

    fn trusted_proxies(&mut self) -> TrustedProxies {
        let text = self.get("TRUSTED_PROXIES").unwrap_or_default();
        TrustedProxies::parse(&text).unwrap_or_else(|problem| {
            self.problems.push(format!("TRUSTED_PROXIES {problem}."));
            TrustedProxies::default()
        })
    }

    fn quotas(&mut self) -> Quotas {
        let text = self.get("LIMITS").unwrap_or_default();
        Quotas::parse(&text).unwrap_or_else(|problem| {
            self.problems.push(format!("LIMITS: {problem}."));
            Quotas::default()
        })
    }

    fn allowed_origins(&mut self) -> AllowedOrigins {
        let text = self.get("ALLOWED_ORIGINS").unwrap_or_default();
        AllowedOrigins::parse(&text).unwrap_or_else(|problem| {
            self.problems.push(format!("ALLOWED_ORIGINS: {problem}"));
            AllowedOrigins::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const GOOD: [(&str, &str); 3] = [
        ("DATABASE_URL", "postgres://stm:hunter2@127.0.0.1:6543/stm"),
        ("DIRECT_URL", "postgres://stm:hunter2@127.0.0.1:5432/stm"),
        ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
    ];

    pub(super) fn config(changes: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from_lookup(|name| {
            let find = |pairs: &[(&str, &str)]| {
                pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            };
            find(changes).or_else(|| find(&GOOD))
        })
    }

    #[test]
    fn defaults() {
        let config = config(&[]).unwrap();
        assert_eq!(config.direct.max_connections, 15);
        assert_eq!((config.pooler.wire, config.pooler.limits), (PoolerWire::Pipelined, PoolerLimits::Role));
        assert!(config.warnings.is_empty());
        assert!(!config.demo_data);
    }

    #[test]
    fn names_every_missing_secret_at_once() {
        let problem = Config::from_lookup(|_| None).unwrap_err().to_string();
        for name in ["DATABASE_URL is missing", "DIRECT_URL is missing", "JWT_SECRET is missing"] {
            assert!(problem.contains(name), "{problem}");
        }
    }

    #[test]
    fn refuses_what_is_out_of_range() {
        for (name, value) in [
            ("DIRECT_MAX_CONNECTIONS", "16"),
            ("DIRECT_MAX_CONNECTIONS", "3"),
            ("POOLER_MAX_CONNECTIONS", "many"),
            ("POOLER_WIRE", "fast"),
            ("POOLER_LIMITS", "none"),
            ("JWT_SECRET", "hunter2"),
            ("DEMO_DATA", "yes please"),
            ("ALLOWED_ORIGINS", "*"),
            ("SMTP_URL", "smtp://hunter2:hunter2@mail.example.com"),
            ("SMTP_URL", "hunter2"),
            ("PUBLIC_URL", "hunter2"),
            ("STORAGE_URL", "hunter2"),
            ("STORAGE_URL", "http://hunter2.example.com"),
            ("CLAMD_URL", "hunter2"),
            ("MAIL_FROM", "hunter2"),
            ("SUPABASE_URL", "hunter2"),
            ("SUPABASE_URL", "http://hunter2.supabase.co"),
            ("SUPABASE_URL", "http://127.0.0.1.example.com"),
            ("SUPABASE_URL", "https://hunter2@abc.supabase.co"),
            ("SUPABASE_URL", "https://abc.supabase.co?hunter2"),
            ("SUPABASE_URL", "https://abc.supabase.co/auth/v1"),
            ("SUPABASE_URL", "postgres://abc.supabase.co"),
            ("SUPABASE_JWT_SECRET", "hunter2"),
            ("SUPABASE_PUBLISHABLE_KEY", "hunter2 hunter2"),
            ("STRIPE_SECRET_KEY", "hunter2"),
            ("STRIPE_WEBHOOK_SECRET", "hunter2"),
            ("STRIPE_API_BASE", "http://hunter2.example.com"),
            ("STRIPE_API_BASE", "hunter2"),
            ("ADMIN_EMAIL", "hunter2"),
            ("TRUSTED_PROXIES", "hunter2"),
            ("LIMITS", "hunter2=1/1"),
            ("ADMIN_PASSWORD", "hunter2-hunter2"),
        ] {
            let problem = config(&[(name, value)]).unwrap_err().to_string();
            assert!(problem.contains(name), "{name}={value}: {problem}");
            assert!(!problem.contains(value) || value.len() < 3 || name == "ALLOWED_ORIGINS", "{problem}");
        }
    }

    #[test]
    fn a_setting_that_is_gone_is_named() {
        let config = config(&[("POOLER_STATEMENTS", "named"), ("POOLER_WIRE", "plain")]).unwrap();
        assert_eq!(config.pooler.wire, PoolerWire::Plain);
        assert!(matches!(&*config.warnings, [warning] if warning.contains("POOLER_STATEMENTS is gone")));
    }

    #[test]
    fn mail_and_the_first_admin_need_both_their_settings() {
        let good = [("SMTP_URL", "smtps://u:p@mail.example.com"), ("MAIL_FROM", "STM <mail@example.com>")];
        assert!(config(&good).unwrap().mail.is_some());
        assert!(config(&good[..1]).unwrap_err().to_string().contains("MAIL_FROM is missing"));
        assert!(config(&[("SMTP_URL", "smtp://127.0.0.1:2525"), good[1]]).unwrap().mail.is_some());
        let admin = [("ADMIN_EMAIL", "Ada@Example.com"), ("ADMIN_PASSWORD", "a long password")];
        assert_eq!(config(&admin).unwrap().first_admin.unwrap().email, "ada@example.com");
        assert!(config(&admin[..1]).unwrap_err().to_string().contains("ADMIN_PASSWORD"));
    }

    #[test]
    fn demo_data_is_for_this_machine_only() {
        let far = "postgres://stm:hunter2@db.example.com:6543/stm";
        let problem = config(&[("DEMO_DATA", "true"), ("DATABASE_URL", far)]).unwrap_err().to_string();
        assert!(problem.contains("DEMO_DATA"), "{problem}");
    }
}
