//! The Shuttle binary, and a stand-in for the part of Shuttle's API that its runtime asks.

use std::collections::BTreeMap;
use std::future::{Future, IntoFuture as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tempfile::TempDir;
use testing::process::Process;
use testing::token::JWT_SECRET;
use testing::{Database, lasting_port};
use tokio::net::TcpListener;
use url::Url;

/// How long starting or ending may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Shuttle's secrets: what the operator wrote into Secrets.toml.
pub type Secrets = BTreeMap<&'static str, String>;

/// The secrets of a service on this database.
pub fn secrets(database: &Database) -> Secrets {
    BTreeMap::from([
        ("DATABASE_URL", database.database_url()),
        ("DIRECT_URL", database.direct_url()),
        ("JWT_SECRET", JWT_SECRET.to_owned()),
    ])
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
/// is built twice. Returns its path.
pub fn build() -> PathBuf {
    let binaries = Path::new(env!("CARGO_BIN_EXE_serve")).parent().expect("a folder per profile");
    let profile = match binaries.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The variables that cargo sets for a test look to build scripts like a change: all would be built again.
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
    process: Process,
    /// Its port on 127.0.0.1.
    pub port: u16,
    _scratch: TempDir,
}

impl Service {
    /// Starts the process with nothing in its environment but what Shuttle puts there.
    pub async fn start(secrets: &Secrets) -> Self {
        let binary = tokio::task::spawn_blocking(build).await.expect("a build");
        let api = stand_in(secrets).await;
        let port = lasting_port();
        let scratch = TempDir::new().expect("a scratch folder");
        let mut command = Command::new(binary);
        command.current_dir(&scratch).env_clear().envs([
            ("SHUTTLE", "true"),
            ("SHUTTLE_ENV", "production"),
            ("SHUTTLE_PROJECT_ID", "proj_TEST"),
            ("SHUTTLE_PROJECT_NAME", "stm-backend"),
            ("SHUTTLE_RUNTIME_IP", "127.0.0.1"),
            ("SHUTTLE_RUNTIME_PORT", &port.to_string()),
            ("SHUTTLE_API", &format!("http://{api}")),
        ]);
        Self { process: Process::spawn(&mut command), port, _scratch: scratch }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What the process has printed so far, on either stream.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// Waits until the service reports that it can be used.
    pub async fn until_ready(&mut self) {
        let ready = format!("{}/readyz", self.url());
        within(PATIENCE, async {
            while !reqwest::get(&ready).await.is_ok_and(|answer| answer.status().is_success()) {
                assert!(self.process.has_ended().is_none(), "the service ended");
                nap().await;
            }
        })
        .await;
    }

    /// Waits for the process to end by itself. The stand-in answers in the meantime.
    pub async fn until_ended(&mut self) -> ExitStatus {
        within(PATIENCE, async {
            while self.process.has_ended().is_none() {
                nap().await;
            }
        })
        .await;
        self.process.wait(PATIENCE).0
    }
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

async fn within<T>(limit: Duration, step: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, step).await.expect("it takes too long")
}

async fn nap() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}
