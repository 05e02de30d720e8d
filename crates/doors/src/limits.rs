//! The time limits of the pooler door's statements, and who sets them: the door, or the role's own defaults.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

/// The longest a statement waits for a lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a transaction may sit idle, holding one of the pooler's few servers.
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// How many limits there are.
pub const COUNT: usize = 3;

/// The settings, by PostgreSQL's names. All are in milliseconds, and 0 is no limit.
pub const NAMES: [&str; COUNT] = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];

/// A subset of [`NAMES`]: a bit for each, the first one the lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LimitSet(u8);

impl LimitSet {
    pub const ALL: Self = Self(0b111);
    /// The limit of idle transactions, which no single statement needs.
    pub const BETWEEN_STATEMENTS: Self = Self(0b100);
    /// How many sets there are.
    pub const SETS: usize = 8;

    /// Every set, by its [`index`](Self::index).
    pub fn every() -> [Self; Self::SETS] {
        [0, 1, 2, 3, 4, 5, 6, 7].map(Self)
    }

    pub fn index(self) -> usize {
        self.0.into()
    }

    pub fn of(limit: usize) -> Self {
        Self(1 << limit)
    }

    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The names, for a log.
    pub fn names(self) -> String {
        let names = (0..COUNT).filter(|limit| self.contains(Self::of(*limit))).map(|limit| NAMES[limit]);
        names.collect::<Vec<_>>().join(", ")
    }
}

/// The limits of one door, and which of them it sets itself. Shared with its relay.
#[derive(Debug)]
pub struct TimeLimits {
    /// In the order of [`NAMES`].
    millis: [u64; COUNT],
    /// The bits of a [`LimitSet`].
    set_by_door: AtomicU8,
    /// Whether a statement has outrun its limits since [`take_doubt`](Self::take_doubt) was last called.
    is_doubtful: AtomicBool,
}

impl TimeLimits {
    /// Has the door set all of them, at first.
    pub fn new(statement_timeout: Duration) -> Self {
        let limits = [statement_timeout, LOCK_TIMEOUT.min(statement_timeout), IDLE_IN_TRANSACTION_TIMEOUT];
        let millis = limits.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
        Self { millis, set_by_door: AtomicU8::new(LimitSet::ALL.0), is_doubtful: AtomicBool::new(false) }
    }

    /// In the order of [`NAMES`].
    pub fn millis(&self) -> [u64; COUNT] {
        self.millis
    }

    /// The limits that the door currently sets itself.
    pub fn set_by_door(&self) -> LimitSet {
        if self.is_doubtful.load(Ordering::Relaxed) {
            return LimitSet::ALL;
        }
        LimitSet(self.set_by_door.load(Ordering::Relaxed))
    }

    /// Leaves `held`, which every server has by itself, to the role; the door sets all others.
    pub fn leave_to_role(&self, held: LimitSet) {
        self.set_by_door.store(LimitSet::ALL.without(held).0, Ordering::Relaxed);
    }

    /// Has the door set all limits again: a statement got no answer in time, so its server may have lost them.
    pub fn doubt(&self) {
        self.is_doubtful.store(true, Ordering::Relaxed);
    }

    /// As [`doubt`](Self::doubt), but only if a statement has been waited for longer than it may run. Otherwise its request
    /// may simply have had less time left than that.
    pub fn doubt_after(&self, waited: Duration) {
        if waited.as_millis() > u128::from(self.millis[0]) {
            self.doubt();
        }
    }

    /// Whether [`doubt`](Self::doubt) was called since the last call of this. If so, nothing is left to the role any more.
    pub fn take_doubt(&self) -> bool {
        let is_doubtful = self.is_doubtful.load(Ordering::Acquire);
        if is_doubtful {
            self.leave_to_role(LimitSet::default());
            self.is_doubtful.store(false, Ordering::Release);
        }
        is_doubtful
    }

    /// The names and values of `set`.
    pub fn settings(&self, set: LimitSet) -> impl Iterator<Item = (&'static str, u64)> {
        (0..COUNT)
            .filter(move |limit| set.contains(LimitSet::of(*limit)))
            .map(|limit| (NAMES[limit], self.millis[limit]))
    }
}

/// The messages that open a transaction, one for each set of limits that the door sets in them.
#[derive(Debug)]
pub struct Begin([Arc<str>; LimitSet::SETS]);

impl Begin {
    /// `begin` is the statement without any limits.
    pub fn new(begin: &str, limits: &TimeLimits) -> Self {
        Self(LimitSet::every().map(|set| {
            let mut message = begin.to_owned();
            for (name, millis) in limits.settings(set) {
                let _infallible = write!(message, "; set local {name} = {millis}");
            }
            message.into()
        }))
    }

    /// The message that sets these limits.
    pub fn setting(&self, limits: LimitSet) -> &Arc<str> {
        &self.0[limits.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begin_sets_what_the_role_does_not_have() {
        let limits = TimeLimits::new(Duration::from_secs(5));
        let begin = Begin::new("begin read only", &limits);
        assert_eq!(
            &**begin.setting(limits.set_by_door()),
            "begin read only; set local statement_timeout = 5000; set local lock_timeout = 2000; \
             set local idle_in_transaction_session_timeout = 10000"
        );
        limits.leave_to_role(LimitSet::of(0).with(LimitSet::of(2)));
        assert_eq!(&**begin.setting(limits.set_by_door()), "begin read only; set local lock_timeout = 2000");
        limits.leave_to_role(LimitSet::ALL);
        assert_eq!(&**begin.setting(limits.set_by_door()), "begin read only");
        assert_eq!(
            LimitSet::ALL.without(LimitSet::of(1)).names(),
            "statement_timeout, idle_in_transaction_session_timeout"
        );
    }

    #[test]
    fn a_doubt_has_the_door_set_all_limits() {
        let limits = TimeLimits::new(Duration::from_secs(5));
        limits.leave_to_role(LimitSet::ALL);
        limits.doubt();
        assert_eq!(limits.set_by_door(), LimitSet::ALL);
        assert!(limits.take_doubt() && !limits.take_doubt());
        assert_eq!(limits.set_by_door(), LimitSet::ALL);
    }

    #[test]
    fn a_lock_is_not_waited_for_longer_than_a_statement_may_run() {
        assert_eq!(TimeLimits::new(Duration::from_millis(300)).millis(), [300, 300, 10_000]);
    }
}
