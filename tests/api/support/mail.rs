//! A real SMTP server (aiosmtpd), which can also refuse, stall and die.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use testing::process::Process;
use testing::{PATIENCE, lasting_port};

/// A mail server of one test; killed when dropped.
pub struct MailServer {
    process: Process,
    port: u16,
    folder: TempDir,
}

impl MailServer {
    pub async fn start() -> Self {
        let (folder, port) = (TempDir::new().expect("a folder"), lasting_port());
        std::fs::write(folder.path().join("mode"), "accept").expect("a file");
        let server = Self { process: spawn(port, folder.path()), port, folder };
        server.wait_for("listening", |output| output.contains("listening").then_some(())).await;
        server
    }

    /// Starts it again, at the same port, after it died.
    pub async fn restart(&mut self) {
        self.process = spawn(self.port, self.folder.path());
        self.wait_for("listening", |output| output.contains("listening").then_some(())).await;
    }

    /// How it answers from now on: `accept`, `defer`, `refuse`, `stall`, `late` or `die`.
    pub fn set_mode(&self, mode: &str) {
        std::fs::write(self.folder.path().join("mode"), mode).expect("a file");
    }

    /// The settings that send e-mail here.
    pub fn settings(&self) -> [(&'static str, String); 2] {
        [("SMTP_URL", format!("smtp://127.0.0.1:{}", self.port)), ("MAIL_FROM", "STM <stm@example.com>".into())]
    }

    /// The messages that this process of the server has had, answered in whatever way.
    pub fn messages(&self) -> Vec<Value> {
        let output = self.process.output();
        output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect()
    }

    /// Waits for the message with this number, counted from 0.
    pub async fn message(&self, number: usize) -> Value {
        self.wait_for("a message", |_| self.messages().into_iter().nth(number)).await
    }

    async fn wait_for<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            let output = self.process.output();
            if let Some(found) = find(&output) {
                return found;
            }
            assert!(started.elapsed() < PATIENCE, "{what}: {output}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The six digits of a message.
pub fn code_of(message: &Value) -> String {
    let text = message["text"].as_str().expect("a text");
    let words = text.split_whitespace();
    words.into_iter().find(|word| word.len() == 6 && word.bytes().all(|b| b.is_ascii_digit())).expect("a code").into()
}

fn spawn(port: u16, folder: &Path) -> Process {
    let root = env!("CARGO_MANIFEST_DIR");
    let installed = Command::new(format!("{root}/scripts/mail-server")).output().expect("scripts/mail-server");
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    let python = String::from_utf8(installed.stdout).expect("a path");
    let mut command = Command::new(python.trim());
    command.arg(format!("{root}/tests/mail/server.py")).arg(port.to_string()).arg(folder.join("mode"));
    Process::spawn(&mut command)
}
