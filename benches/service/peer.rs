//! The Fastify peer of `benches/peer`, on the same databases and behind the same pooler as the service.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};
use testing::chat_load::Target;
use testing::process::{Process, nap};
use testing::token::JWT_SECRET;
use testing::usage::resident_kib;
use testing::{Database, PATIENCE, queries};

use crate::{booking, pooler_connections, workloads};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peer");

/// Whose statements a booking has.
#[derive(Clone, Copy)]
pub enum Statements {
    Own,
    Ours,
}

/// The peer's process. Killed when dropped.
pub struct Peer {
    process: Process,
    port: u16,
}

/// Why there is no peer; `None` if there is one. `scripts/bench` installs its packages where npm is.
pub fn missing() -> Option<&'static str> {
    if Command::new("node").arg("--version").output().is_err() {
        return Some("node is not installed");
    }
    // npm writes this file last.
    let is_installed = Path::new(FOLDER).join("node_modules/.package-lock.json").exists();
    (!is_installed).then_some("its packages are not installed: run `npm ci` in benches/peer")
}

impl Peer {
    /// Starts the peer and waits until it listens. `None` if it is [`missing`].
    pub fn start(database: &Database, statements: Statements) -> Option<Self> {
        if missing().is_some() {
            return None;
        }
        let mut command = Command::new("node");
        command.current_dir(FOLDER).arg("server.mjs").env("NODE_ENV", "production");
        command.env("DATABASE_URL", database.service_url()).env("DIRECT_URL", database.direct_url());
        command.env("JWT_SECRET", JWT_SECRET).env("POOLER_MAX_CONNECTIONS", pooler_connections().to_string());
        command.env("STATEMENTS", the_services_statements().to_string());
        command.env(
            "BOOKING_STATEMENTS",
            match statements {
                Statements::Own => "own",
                Statements::Ours => "ours",
            },
        );
        let mut process = Process::spawn(&mut command);
        let started = Instant::now();
        loop {
            let output = process.output();
            if let Some((_, port)) = output.split_once("listening at port ") {
                let port = port.split_whitespace().next().and_then(|port| port.parse().ok()).expect("a port");
                return Some(Self { process, port });
            }
            assert!(process.has_ended().is_none(), "the peer has ended: {output}");
            assert!(started.elapsed() < PATIENCE, "the peer does not listen: {output}");
            nap();
        }
    }

    pub fn target(&self) -> Target {
        Target { port: self.port, pid: self.process.child.id() }
    }

    pub fn resident_mib(&self) -> f64 {
        resident_kib(self.process.child.id()) / 1024.0
    }
}

/// The service's own statements, by the names that the peer has for them.
pub fn the_services_statements() -> Value {
    let reads =
        [("findLive", "stm.find_live_login_v1("), ("profile", workloads::PROFILE), ("messages", workloads::MESSAGES)];
    let statements = reads.into_iter().chain(booking::STATEMENTS);
    let mut statements: Value = statements.map(|(name, phrase)| (name, queries::statement(phrase))).collect();
    statements["begin"] = json!("begin");
    statements
}
