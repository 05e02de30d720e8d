//! The service as a process of its own.

use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Instant;

use tempfile::TempDir;

use crate::process::{Process, nap};
use crate::token::JWT_SECRET;
use crate::{Database, PATIENCE, s3};

/// The `serve` process. Killed when dropped.
pub struct Server {
    process: Process,
    pub port: u16,
}

/// The service's own address, as its settings have it: the port is not known before it listens.
pub const PUBLIC_URL: &str = "http://stm.example";

/// Environment variables of the process. Later entries win.
pub type Environment = Vec<(String, String)>;

/// The variables of a service on this database, and `more`.
pub fn environment(database: &Database, more: &[(&str, &str)]) -> Environment {
    let mut environment = vec![
        ("DATABASE_URL".to_owned(), database.database_url()),
        ("DIRECT_URL".to_owned(), database.direct_url()),
        ("JWT_SECRET".to_owned(), JWT_SECRET.to_owned()),
        ("PUBLIC_URL".to_owned(), PUBLIC_URL.to_owned()),
        ("FILES_DIR".to_owned(), database.files_dir().display().to_string()),
        ("LIMITS".to_owned(), WIDE_LIMITS.to_owned()),
    ];
    // scripts/test runs the tests of files with each store, and the main story with each setting.
    if let Some((url, _)) = s3() {
        let directory = database.files_dir();
        std::fs::create_dir_all(&directory).expect("a bucket");
        let bucket = directory.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let settings = [("URL", url), ("KEY", "key".into()), ("SECRET", "secret".into()), ("BUCKET", bucket)];
        environment.extend(settings.map(|(name, value)| (format!("STORAGE_{name}"), value)));
    }
    environment.extend(std::env::var("POOLER_WIRE").map(|wire| ("POOLER_WIRE".to_owned(), wire)));
    environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    environment
}

/// Limits that no test and no load meets by accident. An empty `LIMITS` brings back those of production.
const WIDE_LIMITS: &str =
    "booking-account=1000000/60,search-account=1000000/60,refresh-account=1000000/60,login-account=1000000/60";

impl Server {
    /// Starts the program and waits until it listens.
    pub fn start(program: &str, environment: &Environment) -> Self {
        Self::spawn(program, environment, TempDir::new().expect("a directory").path()).until_it_listens()
    }

    /// As [`start`](Self::start), in a directory that holds its secrets.
    pub fn start_in(program: &str, directory: &TempDir) -> Self {
        Self::spawn(program, &Vec::new(), directory.path()).until_it_listens()
    }

    /// Runs the program until it ends by itself. Returns its status and all that it printed.
    pub fn run_to_exit(program: &str, environment: &Environment) -> (ExitStatus, String) {
        Self::spawn(program, environment, TempDir::new().expect("a directory").path()).process.wait(PATIENCE)
    }

    /// As [`run_to_exit`](Self::run_to_exit), in a directory that holds its secrets.
    pub fn run_in_to_exit(program: &str, directory: &TempDir) -> (ExitStatus, String) {
        Self::spawn(program, &Vec::new(), directory.path()).process.wait(PATIENCE)
    }

    fn spawn(program: &str, environment: &Environment, directory: &Path) -> Self {
        let mut command = Command::new(program);
        command.current_dir(directory).env_clear();
        if !environment.is_empty() {
            command.env("PORT", "0").env("HOST", "127.0.0.1");
        }
        if let Ok(filter) = std::env::var("RUST_LOG") {
            command.env("RUST_LOG", filter);
        }
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        Self { process: Process::spawn(&mut command), port: 0 }
    }

    fn until_it_listens(mut self) -> Self {
        let started = Instant::now();
        loop {
            let output = self.output();
            if let Some((_, port)) = output.rsplit_once("STM Backend running at port ") {
                self.port = port.split_whitespace().next().and_then(|port| port.parse().ok()).expect("a port");
                return self;
            }
            if let Some(status) = self.process.has_ended() {
                panic!("the server ended with {status}: {output}");
            }
            assert!(started.elapsed() < PATIENCE, "the server does not listen: {output}");
            nap();
        }
    }

    /// All that the process has printed.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.child.kill().expect("a process");
        self.process.child.wait().expect("its end");
    }

    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait(PATIENCE).0
    }
}
