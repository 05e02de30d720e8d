//! File descriptors: every connection costs one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the process needs besides connections: its listener, the log, timers, name lookups.
const OTHERS: u64 = 32;

/// Fewer connections than these would be no service.
const FEWEST: u64 = 16;

/// How many client connections fit into the process's limit of open files, which is raised as far as the system allows,
/// when each of `to_databases` connections needs three: itself, and the two ends of a socket within the process.
pub(crate) fn connections_that_fit(to_databases: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    let limit = if setrlimit(Resource::Nofile, raised).is_ok() { maximum } else { current };
    let needed = OTHERS + 3 * u64::try_from(to_databases).unwrap_or(u64::MAX / 4);
    let fit = limit.unwrap_or(u64::MAX).saturating_sub(needed).max(FEWEST);
    usize::try_from(fit).unwrap_or(usize::MAX)
}
