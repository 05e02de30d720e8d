//! Counts requests before their handlers run.

use std::fmt;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::address::ClientAddress;
use super::memory::Limits;
use super::policy::{self, By, Policy};
use crate::error::Result;
use crate::types::UserId;

/// Requests with passwords and codes.
const CREDENTIALS: &[Policy] = &[Policy::CredentialsAddress];
const SEARCH: &[Policy] = &[Policy::SearchAccount, Policy::SearchAddress];
const BOOKING: &[Policy] = &[Policy::BookingAccount, Policy::BookingAddress];

/// The limited operations. Whose account is known only after a look at the body or the database is counted by the handler.
#[rustfmt::skip]
pub(crate) const LIMITED: &[(Method, &str, &[Policy])] = &[
    (Method::POST,   "/auth/login",                       CREDENTIALS),
    (Method::DELETE, "/auth/me",                          CREDENTIALS),
    (Method::POST,   "/auth/forgot-password",             CREDENTIALS),
    (Method::POST,   "/auth/resend-password-reset-otp",   CREDENTIALS),
    (Method::POST,   "/auth/verify-password-reset-otp",   CREDENTIALS),
    (Method::POST,   "/auth/reset-password",              CREDENTIALS),
    (Method::POST,   "/auth/send-email-verification-otp", CREDENTIALS),
    (Method::POST,   "/auth/verify-email-otp",            CREDENTIALS),
    (Method::POST,   "/auth/register",                    &[Policy::RegisterAddress]),
    (Method::POST,   "/auth/refresh",                     &[Policy::RefreshAddress]),
    (Method::GET,    "/services",                         SEARCH),
    (Method::GET,    "/services/search",                  SEARCH),
    (Method::GET,    "/services/{id}/providers",          SEARCH),
    (Method::POST,   "/services/smart-providers",         SEARCH),
    (Method::GET,    "/homepage/search/services",         SEARCH),
    (Method::GET,    "/homepage/search/services/category/{category}", SEARCH),
    (Method::GET,    "/homepage/search/locations",        SEARCH),
    (Method::POST,   "/homepage/search/providers",        SEARCH),
    (Method::GET,    "/providers/{slug}",                 SEARCH),
    (Method::GET,    "/utils/zip/{zip}",                  SEARCH),
    (Method::POST,   "/customer/booking",                 BOOKING),
    (Method::POST,   "/jobs/create",                      BOOKING),
];

/// Finds the account of a request by its token, which is checked, but not its login.
type Identify = dyn Fn(&HeaderMap) -> Option<UserId> + Send + Sync;

/// Counts requests, each for its account and its address. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Doorkeeper {
    limits: Limits,
    identify: Arc<Identify>,
}

impl fmt::Debug for Doorkeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Doorkeeper")
    }
}

impl Doorkeeper {
    pub(crate) fn new(limits: Limits, identify: impl Fn(&HeaderMap) -> Option<UserId> + Send + Sync + 'static) -> Self {
        Self { limits, identify: Arc::new(identify) }
    }

    /// Counts a request against a policy. `None`: there is nobody to count it for.
    fn count(&self, policy: Policy, request: &Request) -> Option<Result<u32>> {
        let address = || request.extensions().get::<ClientAddress>().and_then(|address| address.0);
        match policy.counts_by() {
            By::Address => Some(self.limits.count(policy, address()?)),
            By::Account => Some(self.limits.count(policy, (self.identify)(request.headers())?)),
            By::AccountAtAddress => Some(self.limits.count(policy, ((self.identify)(request.headers())?, address()?))),
        }
    }
}

/// Admits a request, or refuses it with 429. The answer describes the policy of which least is left.
pub(crate) async fn admit(doorkeeper: Doorkeeper, request: Request, next: Next) -> Response {
    let mut least = None;
    for policy in policies_of(&request) {
        match doorkeeper.count(*policy, &request) {
            Some(Ok(left)) if least.is_none_or(|(_, least)| left < least) => least = Some((*policy, left)),
            Some(Err(refusal)) => return refusal.into_response(),
            Some(Ok(_)) | None => {}
        }
    }
    let mut response = next.run(request).await;
    if let Some((policy, left)) = least {
        let described = policy::headers(policy, doorkeeper.limits.quotas().of(policy), left, None);
        for (name, value) in described.into_iter().filter_map(|(name, value)| Some((name?, value))) {
            // A handler that refuses describes its own policy.
            response.headers_mut().entry(name).or_insert(value);
        }
    }
    response
}

fn policies_of(request: &Request) -> &'static [Policy] {
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let row = LIMITED.iter().find(|(limited, of, _)| limited == method && *of == path);
    row.map_or(&[], |(_, _, policies)| policies)
}
