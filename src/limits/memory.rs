//! What this process counts, in memory.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota as Rate, RateLimiter};

use super::policy::{Policy, Quotas, exceeded};
use crate::error::Result;

/// How many counts a policy keeps at most: a few megabytes. Of a thousand busy clients, a handful share a quota.
const BUCKETS: u64 = 1 << 17;

type Counts = RateLimiter<u64, DashMapStateStore<u64>, DefaultClock, StateInformationMiddleware>;

/// Counts requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Limits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    quotas: Quotas,
    counts: [Counts; Policy::ALL.len()],
    /// With a random key, so that nobody can choose whose bucket to fill.
    hasher: RandomState,
}

impl Limits {
    pub(crate) fn new(quotas: Quotas) -> Self {
        let counts = Policy::ALL.map(|policy| {
            let quota = quotas.of(policy);
            let most = NonZeroU32::new(quota.most).unwrap_or(NonZeroU32::MIN);
            let rate = Rate::with_period(quota.interval()).unwrap_or(Rate::per_second(most)).allow_burst(most);
            RateLimiter::keyed(rate).with_middleware()
        });
        Self(Arc::new(Inner { quotas, counts, hasher: RandomState::new() }))
    }

    pub(super) fn quotas(&self) -> &Quotas {
        &self.0.quotas
    }

    /// Counts one of `subject`'s. Returns how many are left.
    ///
    /// # Errors
    /// 429 it is one too many.
    pub(crate) fn count(&self, policy: Policy, subject: impl Hash) -> Result<u32> {
        let counts = &self.0.counts[policy as usize];
        let bucket = self.0.hasher.hash_one(subject) % BUCKETS;
        match counts.check_key(&bucket) {
            Ok(state) => Ok(state.remaining_burst_capacity()),
            Err(until) => {
                let wait = until.wait_time_from(counts.clock().now());
                Err(exceeded(policy, self.0.quotas.of(policy), wait))
            }
        }
    }

    /// Forgets counts that say nothing any more.
    pub(crate) fn forget_the_quiet(&self) {
        for counts in &self.0.counts {
            counts.retain_recent();
            counts.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_quota_and_learns_how_long_to_wait() {
        let limits = Limits::new(Quotas::parse("booking-account=2/3600").unwrap());
        let count = |who: u8| limits.count(Policy::BookingAccount, who);
        assert_eq!((count(1).unwrap(), count(1).unwrap()), (1, 0));
        assert_eq!(count(1).unwrap_err().to_string(), "too many bookings: try again in 30 minutes");
        assert!(count(2).is_ok());
    }

    #[test]
    fn an_office_with_three_hundred_people_is_not_refused() {
        let limits = Limits::new(Quotas::default());
        for _ in 0..300 {
            for (policy, times) in [
                (Policy::CredentialsAddress, 2),
                (Policy::RefreshAddress, 1),
                (Policy::SearchAddress, 10),
                (Policy::BookingAddress, 2),
            ] {
                for _ in 0..times {
                    limits.count(policy, "the office").unwrap();
                }
            }
        }
    }

    #[test]
    fn addresses_without_number_take_no_memory_without_bound() {
        let limits = Limits::new(Quotas::default());
        for address in 0..3 * BUCKETS {
            let _counted = limits.count(Policy::SearchAddress, address);
        }
        let counts = &limits.0.counts[Policy::SearchAddress as usize];
        assert!(counts.len() <= usize::try_from(BUCKETS).unwrap());
    }

    #[test]
    fn who_is_quiet_is_forgotten() {
        let limits = Limits::new(Quotas::parse("search-address=1000000/1").unwrap());
        limits.count(Policy::SearchAddress, 1).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(5));
        limits.forget_the_quiet();
        assert!(limits.0.counts[Policy::SearchAddress as usize].is_empty());
    }
}
