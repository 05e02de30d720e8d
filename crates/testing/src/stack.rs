//! Databases and stacks of PostgreSQL and `PgBouncer`, of one test each; all of them gone afterwards.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;

/// How long anything that should happen soon may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/stack");

/// A database of this test alone.
pub struct Database {
    pooled: String,
    direct: String,
    admin: String,
}

impl Database {
    /// On the stack that all tests share.
    pub async fn create() -> Self {
        Self::create_on(&url("DATABASE_URL"), &url("DIRECT_URL")).await
    }

    /// On another stack.
    pub async fn create_on(pooler_url: &str, admin_url: &str) -> Self {
        let name = format!("stm_test_{:016x}", rand::random::<u64>());
        let mut admin = PgConnection::connect(admin_url).await.expect("PostgreSQL at DIRECT_URL");
        execute(&mut admin, &format!("create database {name}")).await;
        let on = |server: &str| {
            let (server, _) = server.rsplit_once('/').expect("a URL with a database");
            format!("{server}/{name}")
        };
        Self { pooled: on(pooler_url), direct: on(admin_url), admin: admin_url.to_owned() }
    }

    /// Through PgBouncer.
    pub fn database_url(&self) -> String {
        self.pooled.clone()
    }

    /// Through PgBouncer, as the role that has the service's time limits as its defaults.
    pub fn service_url(&self) -> String {
        as_service(&self.pooled)
    }

    /// Where the service, or its S3 server, keeps the files of this database. Its name is that of a bucket.
    pub fn files_dir(&self) -> PathBuf {
        let name = self.direct.rsplit('/').next().and_then(|name| name.split('?').next()).unwrap_or_default();
        let directory = s3().map_or_else(std::env::temp_dir, |(_, directory)| directory);
        directory.join(format!("stm-files-{}", name.replace('_', "-")))
    }

    /// Straight to PostgreSQL.
    pub fn direct_url(&self) -> String {
        self.direct.clone()
    }

    /// A session for looking and preparing, beside the service.
    pub async fn session(&self) -> PgConnection {
        PgConnection::connect(&self.direct_url()).await.expect("a session")
    }
}

/// The same URL, for the role that has the service's time limits as its defaults.
pub fn as_service(url: &str) -> String {
    url.replacen("//stm:", "//stm_service:", 1)
}

/// The S3 server of this run, if there is one: its URL, and the directory of its buckets.
pub fn s3() -> Option<(String, PathBuf)> {
    let (url, directory) = (std::env::var("S3_URL").ok()?, std::env::var_os("S3_DIR")?);
    Some((url, directory.into()))
}

impl Drop for Database {
    fn drop(&mut self) {
        let _nothing_there = std::fs::remove_dir_all(self.files_dir());
        let admin = self.admin.clone();
        let name = self.direct.rsplit_once('/').map(|(_, name)| name.to_owned()).unwrap_or_default();
        // Not in the test's own runtime, which may be unwinding.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut session = PgConnection::connect(&admin).await?;
                sqlx::raw_sql(AssertSqlSafe(format!("drop database if exists {name} with (force)")))
                    .execute(&mut session)
                    .await
            })
        });
        let _best_effort = dropped.join();
    }
}

/// A stack of PostgreSQL and `PgBouncer` of a test's own; taken down when dropped.
pub struct Stack {
    directory: TempDir,
    ports: [u16; 2],
    settings: Vec<(String, String)>,
}

impl Stack {
    pub async fn up() -> Self {
        Self::up_with(&[]).await
    }

    /// With settings of `scripts/stack`.
    pub async fn up_with(settings: &[(&str, &str)]) -> Self {
        let stack = Self {
            directory: tempfile::tempdir().expect("a directory"),
            ports: [lasting_port(), lasting_port()],
            settings: settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        stack.run("up").await;
        stack
    }

    /// A command of `scripts/stack`.
    pub async fn run(&self, what: &str) {
        let mut command = self.command(what);
        let output =
            tokio::task::spawn_blocking(move || command.output()).await.expect("a task").expect("scripts/stack");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "stack {what}: {stderr}\n{}", self.last_lines_of_the_pooler());
    }

    /// What the pooler logged last: it may have ended by itself.
    fn last_lines_of_the_pooler(&self) -> String {
        let log = self.directory.path().join("stack/run/pgbouncer.log");
        let log = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Stops `pooler` or `postgres`, with its children, as a machine that hangs: until what this returns is dropped.
    pub fn stop(&self, server: &str) -> Stopped {
        let output = self.command("status").output().expect("scripts/stack");
        let status = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = status.lines().find(|line| line.starts_with(server)).expect("a server");
        let pid = line.split("(pid ").nth(1).and_then(|rest| rest.split(',').next()).expect("a pid");
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("Linux");
        let stopped = Stopped(children.split_whitespace().chain([pid]).map(str::to_owned).collect());
        stopped.signal("-STOP");
        stopped
    }

    fn command(&self, what: &str) -> Command {
        let mut command = Command::new(SCRIPT);
        command.arg(what).env("STACK_DIR", self.directory.path().join("stack"));
        command.env("PG_PORT", self.ports[0].to_string()).env("POOLER_PORT", self.ports[1].to_string());
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    pub async fn database(&self) -> Database {
        let at = |port| format!("postgres://stm:stm-local-password@127.0.0.1:{port}/stm");
        Database::create_on(&at(self.ports[1]), &at(self.ports[0])).await
    }

    /// A path for a file of the test's.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Processes that stand still, and go on when this is dropped.
pub struct Stopped(Vec<String>);

impl Stopped {
    fn signal(&self, signal: &str) {
        // A child may have ended in the meantime.
        let _best_effort = Command::new("kill").arg(signal).args(&self.0).output();
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.signal("-CONT");
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let _best_effort = self.command("down").output();
    }
}

/// Runs a command of `scripts/stack` for the stack that all share, the one in `STACK_DIR`. Returns what it prints.
pub fn shared_stack(command: &str, settings: &[(&str, &str)]) -> String {
    let output = Command::new(SCRIPT).arg(command).envs(settings.iter().copied()).output().expect("scripts/stack");
    assert!(output.status.success(), "stack {command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A free port that stays free while its server is away: not one of those that the system assigns to outgoing
/// connections, among which are those that keep trying to reach the server.
pub fn lasting_port() -> u16 {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let drawn = std::iter::repeat_with(|| 10_000 + rand::random::<u16>() % 20_000);
    drawn.take(1000).find(is_free).expect("a free port")
}

/// A secret of the local stack.
pub fn url(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests with `make test`"))
}

pub async fn execute(session: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(session).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}
