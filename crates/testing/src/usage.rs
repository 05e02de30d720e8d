//! What processes use: processor time and memory, as Linux counts them.

use crate::stack::shared_stack;

/// Processor time of an application, of `PgBouncer`, and of PostgreSQL with all its children, in microseconds.
pub type Times = [f64; 3];

/// The process ids of an application and of the servers it depends on.
#[derive(Debug, Clone, Copy)]
pub struct Parties {
    application: u32,
    pooler: u32,
    postgres: u32,
}

impl Parties {
    /// An application, and the servers of the stack in `STACK_DIR`, as `scripts/stack status` reports them.
    pub fn find(application: u32) -> Self {
        let status = shared_stack("status", &[]);
        let pid = |server: &str| {
            let (_, rest) = status.split_once(&format!("{server}: running (pid ")).expect("a running stack");
            rest.split(',').next().and_then(|pid| pid.parse().ok()).expect("a pid")
        };
        Self { application, pooler: pid("pooler"), postgres: pid("postgres") }
    }

    /// What each has used so far.
    pub fn times(self) -> Times {
        let children = std::fs::read_dir("/proc").expect("/proc").flatten();
        let children = children.filter_map(|entry| Used::of(entry.file_name().to_str()?.parse().ok()?));
        let children: f64 = children.filter(|used| used.parent == self.postgres).map(|used| used.own_us).sum();
        let postgres = Used::of(self.postgres).expect("a running process");
        [cpu_us(self.application), cpu_us(self.pooler), postgres.own_us + postgres.ended_us + children]
    }
}

/// What a process has used so far, user and system time, in microseconds.
pub fn cpu_us(pid: u32) -> f64 {
    Used::of(pid).expect("a running process").own_us
}

/// What the children of this process that have ended had used, in microseconds.
pub fn ended_children_cpu_us() -> f64 {
    Used::of(std::process::id()).expect("a running process").ended_us
}

/// The resident memory of a process.
pub fn resident_kib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
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
