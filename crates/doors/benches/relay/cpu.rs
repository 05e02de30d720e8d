//! Processor time of the three parties: this process, `PgBouncer`, and PostgreSQL with all its children.

use std::process::Command;

/// Of each party, in microseconds.
pub type Times = [f64; 3];

/// The process ids of the servers.
#[derive(Debug, Clone, Copy)]
pub struct Servers {
    pub pooler: u32,
    pub postgres: u32,
}

impl Servers {
    /// Those of the stack in `STACK_DIR`, as `scripts/stack status` reports them.
    pub fn find() -> Self {
        let status = stack("status", &[]);
        let pid = |server: &str| {
            let (_, rest) = status.split_once(&format!("{server}: running (pid ")).expect("a running stack");
            rest.split(',').next().and_then(|pid| pid.parse().ok()).expect("a pid")
        };
        Self { pooler: pid("pooler"), postgres: pid("postgres") }
    }

    /// What each has used so far.
    pub fn times(self) -> Times {
        let children = std::fs::read_dir("/proc").expect("/proc").flatten();
        let children = children.filter_map(|entry| Used::of(entry.file_name().to_str()?.parse().ok()?));
        let children: f64 = children.filter(|used| used.parent == self.postgres).map(|used| used.own_us).sum();
        let used = |pid| Used::of(pid).expect("a running process");
        let postgres = used(self.postgres);
        [used(std::process::id()).own_us, used(self.pooler).own_us, postgres.own_us + postgres.ended_us + children]
    }
}

/// Runs a command of `scripts/stack`. Returns what it prints.
pub fn stack(command: &str, environment: &[(&str, String)]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/stack");
    let output = Command::new(script).arg(command).envs(environment.iter().cloned()).output().expect("scripts/stack");
    assert!(output.status.success(), "stack {command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a process has used, user and system time.
struct Used {
    parent: u32,
    own_us: f64,
    /// By children that have ended.
    ended_us: f64,
}

impl Used {
    /// `None` if it is gone. <https://www.man7.org/linux/man-pages/man5/proc_pid_stat.5.html>
    fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // After the name, which may hold spaces: state, parent, and from the twelfth on the times.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        // USER_HZ is 100 wherever Linux runs.
        let us = |field: usize| fields[field].parse::<u32>().map(|ticks| f64::from(ticks) * 1e4).ok();
        Some(Self { parent: fields[1].parse().ok()?, own_us: us(11)? + us(12)?, ended_us: us(13)? + us(14)? })
    }
}
