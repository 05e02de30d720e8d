//! A database per test, the Shuttle binary, and a stand-in for the part of Shuttle's API that its runtime asks.

use std::collections::BTreeMap;
use std::fs;
use std::future::{Future, IntoFuture as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::net::TcpListener;
use url::Url;

pub const JWT_SECRET: &str = "a secret of the Shuttle tests, 32+ bytes";

/// How long starting or ending may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Shuttle's secrets: what the operator wrote into Secrets.toml.
pub type Secrets = BTreeMap<&'static str, String>;

/// A database of this test alone. Dropped with it.
pub struct Database {
    name: String,
}

impl Database {
    pub async fn create() -> Self {
        let name = format!("stm_shuttle_{}", uuid::Uuid::now_v7().simple());
        execute_as_admin(&format!("create database {name}")).await.expect("a new database at DIRECT_URL");
        Self { name }
    }

    /// The secrets of a service on this database.
    pub fn secrets(&self) -> Secrets {
        BTreeMap::from([
            ("DATABASE_URL", self.on("DATABASE_URL")),
            ("DIRECT_URL", self.on("DIRECT_URL")),
            ("JWT_SECRET", JWT_SECRET.to_owned()),
        ])
    }

    fn on(&self, server: &str) -> String {
        let mut url = Url::parse(&local_stack(server)).expect("a connection string");
        url.set_path(&self.name);
        url.into()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let statement = format!("drop database if exists {} with (force)", self.name);
        // Not in the test's own runtime, which may be unwinding.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(execute_as_admin(&statement))
        });
        let _best_effort = dropped.join();
    }
}

async fn execute_as_admin(statement: &str) -> sqlx::Result<()> {
    let mut admin = PgConnection::connect(&local_stack("DIRECT_URL")).await?;
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut admin).await?;
    admin.close().await
}

/// A connection string of the local stack.
fn local_stack(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: put the output of `scripts/stack env` there"))
}

/// The password in a connection string; `None` for other secrets.
pub fn password(secret: &str) -> Option<String> {
    Url::parse(secret).ok()?.password().map(ToOwned::to_owned)
}

pub fn with_password(url: &str, password: &str) -> String {
    let mut url = Url::parse(url).expect("a connection string");
    url.set_password(Some(password)).expect("a URL with a host");
    url.into()
}

/// Builds the Shuttle binary as `cargo shuttle` does, beside the binaries of this test run, so that nothing
/// is built twice. Gives its path.
pub fn build() -> PathBuf {
    let binaries = Path::new(env!("CARGO_BIN_EXE_serve")).parent().expect("a folder per profile");
    let profile = match binaries.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo tells a test about itself looks to build scripts like a change: all would be built again.
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "OUT_DIR" {
            build.env_remove(&variable);
        }
    }
    let built = build
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--locked", "--no-default-features", "--features", "shuttle", "--bin", "stm-backend"])
        .args(["--profile", profile, "--target-dir"])
        .arg(binaries.parent().expect("a target folder"))
        .output()
        .expect("cargo");
    assert!(built.status.success(), "the Shuttle binary was not built:\n{}", String::from_utf8_lossy(&built.stderr));
    binaries.join("stm-backend").with_extension(std::env::consts::EXE_EXTENSION)
}

/// The Shuttle binary as a process. Killed when dropped.
pub struct Service {
    child: Child,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    scratch: TempDir,
}

impl Service {
    /// Starts the process with nothing in its environment but what Shuttle puts there.
    pub async fn start(secrets: &Secrets) -> Self {
        let binary = tokio::task::spawn_blocking(build).await.expect("a build");
        let api = stand_in(secrets).await;
        let port = free_port().await;
        let scratch = TempDir::new().expect("a scratch folder");
        let output = fs::File::create(output_file(&scratch)).expect("a file for the output");
        let child = Command::new(binary)
            .current_dir(&scratch)
            .env_clear()
            .envs([
                ("SHUTTLE", "true"),
                ("SHUTTLE_ENV", "production"),
                ("SHUTTLE_PROJECT_ID", "proj_TEST"),
                ("SHUTTLE_PROJECT_NAME", "stm-backend"),
                ("SHUTTLE_RUNTIME_IP", "127.0.0.1"),
                ("SHUTTLE_RUNTIME_PORT", &port.to_string()),
                ("SHUTTLE_API", &format!("http://{api}")),
            ])
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .spawn()
            .expect("the Shuttle binary");
        Self { child, port, scratch }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What the process has printed so far, on either stream.
    pub fn output(&self) -> String {
        fs::read_to_string(output_file(&self.scratch)).expect("the output")
    }

    /// Waits until the service says that it can be used.
    pub async fn until_ready(&mut self) {
        let ready = format!("{}/readyz", self.url());
        within(PATIENCE, async {
            while !reqwest::get(&ready).await.is_ok_and(|answer| answer.status().is_success()) {
                assert!(self.has_ended().is_none(), "the service ended");
                nap().await;
            }
        })
        .await;
    }

    /// Waits for the process to end by itself.
    pub async fn until_ended(&mut self) -> ExitStatus {
        within(PATIENCE, async {
            loop {
                if let Some(status) = self.has_ended() {
                    return status;
                }
                nap().await;
            }
        })
        .await
    }

    fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the state of the process")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _status = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the Shuttle binary printed:\n{}", self.output());
        }
    }
}

fn output_file(scratch: &TempDir) -> PathBuf {
    scratch.path().join("output")
}

/// Answers what Shuttle's runtime asks before it calls our code: the secrets, and that the helper process
/// which gave them may end. The shapes are those of shuttle-api-client 0.57.
async fn stand_in(secrets: &Secrets) -> SocketAddr {
    let answer = json!({ "type": "secrets", "state": "ready", "config": null, "output": secrets });
    let router = Router::new()
        .route("/projects/proj_TEST/resources/secrets", get(|| async { Json(answer) }))
        .route("/__shuttle/shutdown", get(|| async {}));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(axum::serve(listener, router).into_future());
    address
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    listener.local_addr().expect("an address").port()
}

async fn within<T>(limit: Duration, step: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, step).await.expect("it takes too long")
}

async fn nap() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}
