//! pgbench, the yardstick of the benches.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::process::Process;
use crate::stack::PATIENCE;
use crate::usage::ended_children_cpu_us;

/// A script, and how pgbench runs it.
pub struct Pgbench {
    script: NamedTempFile,
    /// Of the protocol: `extended` or `prepared`.
    mode: &'static str,
    clients: usize,
    variables: BTreeMap<&'static str, String>,
}

/// What a run reached.
pub struct Transactions {
    pub per_s: f64,
    pub count: f64,
    /// Processor time of pgbench itself for each.
    pub cpu_us: f64,
}

impl Pgbench {
    pub fn new(script: &str, mode: &'static str, clients: usize) -> Self {
        let file = NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), script).expect("a file");
        Self { script: file, mode, clients, variables: BTreeMap::new() }
    }

    /// Sets a variable of the script.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.variables.insert(name, value.into());
    }

    /// Runs the transactions on one thread. `PGBENCH` names the program.
    pub fn run(&self, duration: Duration, url: &str) -> Transactions {
        let mut command = Command::new(std::env::var_os("PGBENCH").unwrap_or_else(|| "pgbench".into()));
        command.args(["-n", "-M", self.mode, "-j", "1", "-c", &self.clients.to_string()]);
        command.args(["-T", &duration.as_secs().max(1).to_string(), "-f"]).arg(self.script.path());
        for (name, value) in &self.variables {
            command.arg("-D").arg(format!("{name}={value}"));
        }
        let cpu_us = ended_children_cpu_us();
        let (status, output) = Process::spawn(command.arg(url)).wait(duration + PATIENCE);
        let cpu_us = ended_children_cpu_us() - cpu_us;
        assert!(status.success() && output.contains("number of failed transactions: 0 "), "pgbench: {output}");
        let number = |what: &str| -> f64 {
            let line = output.lines().find_map(|line| line.strip_prefix(what)).expect(what);
            line.split_whitespace().next().and_then(|number| number.parse().ok()).expect(what)
        };
        let count = number("number of transactions actually processed: ");
        Transactions { per_s: number("tps = "), count, cpu_us: cpu_us / count }
    }
}
