//! Attempts at passwords and one-time codes, counted in the database: the quotas hold for all processes together.
//!
//! Nobody can lock somebody else out for good. Failed logins into an account are counted for each address by itself, so a
//! stranger's failures are the stranger's. Against guesses from many addresses there is a quota for the whole account too,
//! but only for addresses that the account was never logged in from. Quotas refill gradually, and refused attempts use
//! nothing of them.

mod queries;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac as _};
use secrecy::SecretString;
use sha2::Sha256;

use super::code_key::derive_key;
use crate::error::Result;
use crate::limits::{By, ClientAddress, Policy, Quota, Quotas, exceeded};
use doors::{Pooler, Tx};

pub(crate) use queries::delete_spent;

/// How far clocks may be apart: see [`Bucket::clock_slack`].
const CLOCK_SLACK: Duration = Duration::from_secs(1);

/// How many bits a bucket has: a million of them take some ten megabytes.
const BUCKET_BITS: u32 = 20;

/// Counts attempts. Cheap to clone.
#[derive(Clone)]
pub struct Attempts {
    key: Arc<Hmac<Sha256>>,
    quotas: Quotas,
}

impl fmt::Debug for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attempts")
    }
}

/// The account that somebody tries, by its e-mail address in whatever spelling, and the client's address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub email: &'a str,
    pub address: ClientAddress,
}

/// A bucket, of which an attempt takes one interval: it may be this far from full, and no further.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    key: i64,
    policy: Policy,
    quota: Quota,
}

impl Bucket {
    /// How long until an attempt is allowed, if none is now. All of the quota is there again at `full_at`.
    fn wait(&self, full_at: DateTime<Utc>, now: DateTime<Utc>) -> Option<Duration> {
        let wait = (full_at - self.tolerance() - now).to_std().ok()?;
        (wait > self.clock_slack()).then_some(wait)
    }

    /// How far from full the bucket may be before an attempt.
    fn tolerance(&self) -> Duration {
        self.quota.interval() * (self.quota.most - 1)
    }

    /// How far the clocks of processes, and of requests that overtake each other, may be apart.
    fn clock_slack(&self) -> Duration {
        (self.quota.interval() / 2).min(CLOCK_SLACK)
    }
}

impl Attempts {
    pub(crate) fn new(jwt_secret: &SecretString, quotas: Quotas) -> anyhow::Result<Self> {
        Ok(Self { key: Arc::new(derive_key(jwt_secret, b"stm attempts")?), quotas })
    }

    /// Counts an attempt against policies, before anything is checked: of many at once, no more than allowed get through.
    /// The policies of addresses come first.
    ///
    /// # Errors
    /// 429 it is one too many.
    pub(crate) async fn count(
        &self,
        pooler: &Pooler,
        origin: Origin<'_>,
        policies: &[Policy],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let buckets = self.buckets(origin, policies);
        if buckets.is_empty() {
            return Ok(());
        }
        check(pooler, &buckets, now).await?;
        let mut tx = pooler.write().await?;
        let counted = queries::count(&mut tx, &buckets, now).await?;
        tx.commit().await?;
        if counted < buckets.len() {
            // Concurrent attempts have used it up.
            check(pooler, &buckets, now).await?;
            return Err(exceeded(buckets[0].policy, buckets[0].quota, buckets[0].quota.interval()));
        }
        Ok(())
    }

    /// Returns a successful attempt to its quotas.
    pub(crate) async fn give_back(
        &self,
        tx: &mut Tx<Pooler>,
        origin: Origin<'_>,
        policies: &[Policy],
    ) -> sqlx::Result<()> {
        queries::give_back(tx, &self.buckets(origin, policies)).await
    }

    /// The digest of an account and the address that it is used from. `None` for addresses that are not counted.
    pub(crate) fn place(&self, origin: Origin<'_>) -> Option<Vec<u8>> {
        Some(self.digest("place", Some(origin.email), Some(origin.address.0?)).to_vec())
    }

    fn buckets(&self, origin: Origin<'_>, policies: &[Policy]) -> Vec<Bucket> {
        let bucket = |policy: Policy| {
            let (email, address) = match policy.counts_by() {
                By::Account => (Some(origin.email), None),
                By::Address => (None, Some(origin.address.0?)),
                By::AccountAtAddress => (Some(origin.email), Some(origin.address.0?)),
            };
            let [a, b, c, d, ..] = self.digest(policy.name(), email, address);
            let bucket = u32::from_be_bytes([a, b, c, d]) >> (u32::BITS - BUCKET_BITS);
            let key = (policy as i64) << BUCKET_BITS | i64::from(bucket);
            Some(Bucket { key, policy, quota: self.quotas.of(policy) })
        };
        policies.iter().copied().filter_map(bucket).collect()
    }

    fn digest(&self, purpose: &str, email: Option<&str>, address: Option<IpAddr>) -> [u8; 32] {
        let mut mac = (*self.key).clone();
        for part in [Some(purpose.to_owned()), email.map(str::to_owned), address.map(|address| address.to_string())] {
            mac.update(part.unwrap_or_default().as_bytes());
            mac.update(b"\0");
        }
        mac.finalize().into_bytes().into()
    }
}

/// Whether an attempt is allowed at the moment.
async fn check(pooler: &Pooler, buckets: &[Bucket], now: DateTime<Utc>) -> Result<()> {
    let used = queries::find(pooler, buckets).await?;
    for bucket in buckets {
        let full_at = used.iter().find(|(key, _)| *key == bucket.key).map(|(_, full_at)| *full_at);
        if let Some(wait) = full_at.and_then(|full_at| bucket.wait(full_at, now)) {
            return Err(exceeded(bucket.policy, bucket.quota, wait));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts() -> Attempts {
        Attempts::new(&SecretString::from("0123456789abcdef0123456789abcdef"), Quotas::default()).unwrap()
    }

    #[test]
    fn a_bucket_is_empty_after_its_quota_and_fills_up_again() {
        let quota = Quota { most: 10, window_s: 100 };
        let bucket = Bucket { key: 1, policy: Policy::LoginAddress, quota };
        let now = Utc::now();
        let after = |attempts: i64| bucket.wait(now + chrono::Duration::seconds(10 * attempts), now);
        assert_eq!(after(9), None);
        assert_eq!(after(10), Some(Duration::from_secs(10)));
        assert_eq!(bucket.wait(now + chrono::Duration::milliseconds(90_900), now), None, "a clock that is behind");
        assert_eq!(bucket.wait(now + chrono::Duration::seconds(100), now + chrono::Duration::seconds(10)), None);
    }

    #[test]
    fn buckets_belong_to_a_policy_and_an_account_or_address() {
        let attempts = attempts();
        let keys = |email: &str, last: u8| {
            let address = ClientAddress((last > 0).then(|| [203, 0, 113, last].into()));
            let policies = [Policy::LoginAddress, Policy::LoginAccountAtAddress, Policy::LoginAccount];
            let buckets = attempts.buckets(Origin { email, address }, &policies);
            buckets.into_iter().map(|bucket| bucket.key).collect::<Vec<_>>()
        };
        let (here, there, other, nowhere) = (keys("a@b.c", 1), keys("a@b.c", 2), keys("d@e.f", 1), keys("a@b.c", 0));
        assert!(here[0] != there[0] && here[1] != there[1] && here[2] == there[2]);
        assert!(here[0] == other[0] && here[1] != other[1] && here[2] != other[2]);
        assert_eq!(nowhere, here[2..], "whose address is not counted is counted by account");
    }
}
