//! The policies: what is limited, by whom it is counted, and how much is allowed.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::error::{Error, TooMany};

/// The headers of draft-ietf-httpapi-ratelimit-headers.
pub(crate) const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub(crate) const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What is limited, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Failed logins from an address.
    LoginAddress,
    /// Failed logins into one account from one address.
    LoginAccountAtAddress,
    /// Failed logins into an account, from all addresses that it was never logged in from.
    LoginAccount,
    CodeRequestAddress,
    CodeRequestAccount,
    CodeCheckAddress,
    CodeCheckAccount,
    /// Requests with passwords and codes, right or wrong: what keeps floods away from the database.
    CredentialsAddress,
    RegisterAddress,
    RegisterAccount,
    RefreshAddress,
    RefreshAccount,
    SearchAddress,
    SearchAccount,
    BookingAddress,
    BookingAccount,
}

/// By what a policy counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Address,
    Account,
    AccountAtAddress,
}

/// So many at once, and as many again over the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    pub most: u32,
    pub window_s: u32,
}

impl Quota {
    /// The time after which one more is allowed.
    pub(crate) fn interval(self) -> Duration {
        Duration::from_secs(self.window_s.into()) / self.most.max(1)
    }
}

impl Policy {
    pub(crate) const ALL: [Self; 16] = [
        Self::LoginAddress,
        Self::LoginAccountAtAddress,
        Self::LoginAccount,
        Self::CodeRequestAddress,
        Self::CodeRequestAccount,
        Self::CodeCheckAddress,
        Self::CodeCheckAccount,
        Self::CredentialsAddress,
        Self::RegisterAddress,
        Self::RegisterAccount,
        Self::RefreshAddress,
        Self::RefreshAccount,
        Self::SearchAddress,
        Self::SearchAccount,
        Self::BookingAddress,
        Self::BookingAccount,
    ];

    /// Its name, what it counts in the words of a sentence, by whom it counts, and its default quota.
    ///
    /// An address may be an office with a few hundred people, who all log in within an hour, search and book.
    const fn row(self) -> (&'static str, &'static str, By, Quota) {
        const HOUR_S: u32 = 3600;
        const fn per(window_s: u32, most: u32) -> Quota {
            Quota { most, window_s }
        }
        match self {
            Self::LoginAddress => ("login-address", "failed logins", By::Address, per(HOUR_S, 200)),
            Self::LoginAccountAtAddress => {
                ("login-account-at-address", "failed logins", By::AccountAtAddress, per(HOUR_S / 2, 10))
            }
            Self::LoginAccount => ("login-account", "failed logins", By::Account, per(HOUR_S, 100)),
            Self::CodeRequestAddress => ("code-request-address", "requests for codes", By::Address, per(HOUR_S, 100)),
            Self::CodeRequestAccount => ("code-request-account", "requests for codes", By::Account, per(HOUR_S, 10)),
            Self::CodeCheckAddress => ("code-check-address", "tries of codes", By::Address, per(HOUR_S, 200)),
            Self::CodeCheckAccount => ("code-check-account", "tries of codes", By::Account, per(HOUR_S, 20)),
            Self::CredentialsAddress => ("credentials-address", "requests", By::Address, per(60, 600)),
            Self::RegisterAddress => ("register-address", "registrations", By::Address, per(HOUR_S, 100)),
            Self::RegisterAccount => ("register-account", "registrations", By::Account, per(HOUR_S, 10)),
            Self::RefreshAddress => ("refresh-address", "refreshes", By::Address, per(60, 600)),
            Self::RefreshAccount => ("refresh-account", "refreshes", By::Account, per(600, 240)),
            Self::SearchAddress => ("search-address", "searches", By::Address, per(60, 3000)),
            Self::SearchAccount => ("search-account", "searches", By::Account, per(60, 300)),
            Self::BookingAddress => ("booking-address", "bookings", By::Address, per(HOUR_S, 3000)),
            Self::BookingAccount => ("booking-account", "bookings", By::Account, per(HOUR_S, 600)),
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        self.row().0
    }

    pub(crate) const fn counts_by(self) -> By {
        self.row().2
    }
}

/// The quota of every policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas([Quota; Policy::ALL.len()]);

impl Default for Quotas {
    fn default() -> Self {
        Self(Policy::ALL.map(|policy| policy.row().3))
    }
}

impl Quotas {
    pub(crate) const fn of(&self, policy: Policy) -> Quota {
        self.0[policy as usize]
    }

    /// Reads `name=most/seconds, …`; policies that are not named keep their defaults.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut quotas = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (name, quota) = entry.split_once('=').unwrap_or((entry, ""));
            let policy = Policy::ALL
                .into_iter()
                .find(|policy| policy.name() == name.trim())
                .ok_or_else(|| format!("it names no limit; there are {}", Policy::ALL.map(Policy::name).join(", ")))?;
            quotas.0[policy as usize] = parse_quota(quota)
                .ok_or_else(|| format!("{0} must be `{0}=<most>/<seconds>`, each 1 to 1000000", policy.name()))?;
        }
        Ok(quotas)
    }
}

fn parse_quota(text: &str) -> Option<Quota> {
    let (most, window_s) = text.split_once('/')?;
    let number = |text: &str| text.trim().parse().ok().filter(|number| (1..=1_000_000).contains(number));
    Some(Quota { most: number(most)?, window_s: number(window_s)? })
}

/// The headers that describe a policy and what is left of it. `wait_s` is the time until something is.
pub(super) fn headers(policy: Policy, quota: Quota, remaining: u32, wait_s: Option<u32>) -> HeaderMap {
    let (name, Quota { most, window_s }) = (policy.name(), quota);
    let wait = wait_s.map(|wait_s| format!(";t={wait_s}")).unwrap_or_default();
    let values = [
        (RATELIMIT_POLICY, format!("\"{name}\";q={most};w={window_s}")),
        (RATELIMIT, format!("\"{name}\";r={remaining}{wait}")),
    ];
    values.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?))).collect()
}

/// The error of a request that is one too many.
pub(crate) fn exceeded(policy: Policy, quota: Quota, wait: Duration) -> Error {
    // Rounded up: whoever comes at that second is let in.
    let wait_s = u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1);
    let headers = headers(policy, quota, 0, Some(wait_s));
    Error::TooManyRequests(Box::new(TooMany { what: policy.row().1, wait_s, headers }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_has_its_place_and_a_name_of_its_own() {
        for (index, policy) in Policy::ALL.into_iter().enumerate() {
            assert_eq!(policy as usize, index);
            assert_eq!(Policy::ALL.into_iter().filter(|other| other.name() == policy.name()).count(), 1);
        }
    }

    #[test]
    fn quotas_are_read_one_by_one() {
        let quotas = Quotas::parse(" booking-account=5/60 ,search-address=1/1,").unwrap();
        assert_eq!(quotas.of(Policy::BookingAccount), Quota { most: 5, window_s: 60 });
        assert_eq!(quotas.of(Policy::LoginAccount), Quotas::default().of(Policy::LoginAccount));
        assert_eq!(Quotas::parse(""), Ok(Quotas::default()));
        for (bad, word) in
            [("bookings=1/1", "booking-account"), ("login-account=0/1", "<most>/<seconds>"), ("x", "names no")]
        {
            let problem = Quotas::parse(bad).unwrap_err();
            assert!(problem.contains(word), "{problem}");
        }
    }

    #[test]
    fn the_headers_are_those_of_the_draft() {
        let quota = Quota { most: 60, window_s: 3600 };
        let headers = headers(Policy::BookingAccount, quota, 0, Some(12));
        assert_eq!(headers[RATELIMIT_POLICY], "\"booking-account\";q=60;w=3600");
        assert_eq!(headers[RATELIMIT], "\"booking-account\";r=0;t=12");
    }
}
