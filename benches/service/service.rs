//! The `serve` process, with its defaults except for where it listens and which database it uses.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use testing::chat_load::Target;
use testing::process::Process;
use testing::token::JWT_SECRET;
use testing::usage::resident_kib;
use testing::{Database, lasting_port};

const READY_WITHIN: Duration = Duration::from_secs(20);
const STOPPED_WITHIN: Duration = Duration::from_secs(15);

/// Killed when dropped.
pub struct Service {
    process: Process,
    pub port: u16,
    /// From the start of the process to the first 200 of `/readyz`.
    pub ready_after: Duration,
}

impl Service {
    /// Starts the process, and waits until it is ready.
    pub fn start(database: &Database) -> Self {
        // An empty one, so that no secrets file is read.
        let directory = tempfile::tempdir().expect("a directory");
        let port = lasting_port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_serve"));
        command.current_dir(directory.path()).env_clear();
        command.env("HOST", Ipv4Addr::LOCALHOST.to_string()).env("PORT", port.to_string());
        // Connects as the role that docs/supabase.md sets up.
        command.env("DATABASE_URL", database.service_url()).env("DIRECT_URL", database.direct_url());
        command.env("JWT_SECRET", JWT_SECRET);
        // Loading demo data would count as start-up.
        command.env("DEMO_DATA", "false");
        command.env("POOLER_MAX_CONNECTIONS", crate::pooler_connections().to_string());
        if let Ok(wire) = std::env::var("POOLER_WIRE") {
            command.env("POOLER_WIRE", wire);
        }

        let started = Instant::now();
        let mut process = Process::spawn(&mut command);
        while !is_ready(port) {
            let ended = process.has_ended();
            assert!(ended.is_none(), "the service did not start: {}", process.output());
            assert!(started.elapsed() < READY_WITHIN, "the service is not ready: {}", process.output());
            std::thread::sleep(Duration::from_millis(1));
        }
        Self { process, port, ready_after: started.elapsed() }
    }

    /// Stops the process as an operator would.
    pub fn stop(mut self) {
        let pid = self.process.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success(), "kill -TERM {pid}");
        self.process.wait(STOPPED_WITHIN);
    }

    pub fn target(&self) -> Target {
        Target { port: self.port, pid: self.process.child.id() }
    }

    pub fn resident_mib(&self) -> f64 {
        resident_kib(self.process.child.id()) / 1024.0
    }
}

fn is_ready(port: u16) -> bool {
    const SUCCESS: &[u8] = b"HTTP/1.1 200 ";
    let ask = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        let mut answer = [0; SUCCESS.len()];
        stream.read_exact(&mut answer).map(|()| answer == SUCCESS)
    };
    ask().unwrap_or(false)
}
