//! How many events a user may send, over all of the user's sockets.

use std::num::NonZeroU32;
use std::sync::Arc;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::refusal::Refusal;
use crate::types::UserId;

/// Events per second in the long run, and at once: far above any client's need, so that only floods meet it.
const EVENTS_PER_S: NonZeroU32 = NonZeroU32::new(1000).unwrap();
const EVENTS_AT_ONCE: NonZeroU32 = NonZeroU32::new(5000).unwrap();

/// Refused events per second, and at once, before the connection is closed: refusing costs something too.
const REFUSALS_PER_S: NonZeroU32 = NonZeroU32::new(100).unwrap();
const REFUSALS_AT_ONCE: NonZeroU32 = NonZeroU32::new(2000).unwrap();

/// Bytes of history per second, and at once, in KiB: a page that its client does not read stays in memory.
const PAGES_KIB_PER_S: NonZeroU32 = NonZeroU32::new(4 * 1024).unwrap();
const PAGES_KIB_AT_ONCE: NonZeroU32 = NonZeroU32::new(32 * 1024).unwrap();

/// The verdict of the limits on an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    /// The event is refused.
    TooMany,
    /// Its connection is closed.
    Flood,
}

/// Counts events. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Limits {
    events: Arc<DefaultKeyedRateLimiter<UserId>>,
    refusals: Arc<DefaultKeyedRateLimiter<UserId>>,
    pages: Arc<DefaultKeyedRateLimiter<UserId>>,
}

impl Default for Limits {
    fn default() -> Self {
        let limiter = |rate, burst| Arc::new(RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst)));
        Self {
            events: limiter(EVENTS_PER_S, EVENTS_AT_ONCE),
            refusals: limiter(REFUSALS_PER_S, REFUSALS_AT_ONCE),
            pages: limiter(PAGES_KIB_PER_S, PAGES_KIB_AT_ONCE),
        }
    }
}

impl Limits {
    /// Counts an event of this user.
    #[must_use]
    pub fn count(&self, user: UserId) -> Verdict {
        if self.events.check_key(&user).is_ok() {
            return Verdict::Allowed;
        }
        if self.refusals.check_key(&user).is_ok() { Verdict::TooMany } else { Verdict::Flood }
    }

    /// Counts a page of history that this user asks for.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] if it was too much lately.
    pub fn take_page(&self, user: UserId, bytes: usize) -> Result<(), Refusal> {
        let kib = u32::try_from(bytes / 1024 + 1).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX);
        match self.pages.check_key_n(&user, kib) {
            Ok(Ok(())) => Ok(()),
            _ => Err(Refusal::Overloaded),
        }
    }

    /// Forgets users whose buckets are full again.
    pub fn forget_the_quiet(&self) {
        for limiter in [&self.events, &self.refusals, &self.pages] {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_refused_and_then_closed_and_nobody_else_notices() {
        let limits = Limits::default();
        let verdicts: Vec<_> = (0..20_000).map(|_| limits.count(UserId(1))).collect();
        for verdict in [Verdict::Allowed, Verdict::TooMany, Verdict::Flood] {
            assert!(verdicts.contains(&verdict), "{verdict:?}");
        }
        assert!(verdicts[..EVENTS_AT_ONCE.get() as usize].iter().all(|verdict| *verdict == Verdict::Allowed));
        assert_eq!(limits.count(UserId(2)), Verdict::Allowed);
    }
}
