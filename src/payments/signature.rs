//! The signatures of Stripe's events: <https://docs.stripe.com/webhooks/signature>.

use std::fmt;
use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// How far the clocks may be apart, and how old an event may be on its way, in seconds.
const TOLERANCE_S: i64 = 5 * 60;

/// The most signatures of a header that are looked at. Stripe sends two while a secret is replaced.
const MAX_SIGNATURES: usize = 8;

/// The key of the signatures.
#[derive(Clone)]
pub(super) struct WebhookSecret(Arc<Hmac<Sha256>>);

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret")
    }
}

impl WebhookSecret {
    /// # Errors
    /// None: HMAC takes keys of every length.
    pub(super) fn new(secret: &SecretString) -> anyhow::Result<Self> {
        let key = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).context("a key")?;
        Ok(Self(Arc::new(key)))
    }

    /// Whether a body has one of the signatures of a `Stripe-Signature` header, `t=…,v1=…`, and is recent. In constant
    /// time for each signature.
    pub(super) fn verifies(&self, header: &str, body: &[u8], now: DateTime<Utc>) -> bool {
        let pairs = || header.split(',').filter_map(|pair| pair.trim().split_once('='));
        let mut times = pairs().filter(|(name, _)| *name == "t").map(|(_, value)| value);
        let (Some(time), None) = (times.next(), times.next()) else { return false };
        let Ok(sent_at) = time.parse::<i64>() else { return false };
        if now.timestamp().checked_sub(sent_at).is_none_or(|age_s| age_s.unsigned_abs() > TOLERANCE_S.unsigned_abs()) {
            return false;
        }
        let signatures = pairs().filter(|(name, _)| *name == "v1").take(MAX_SIGNATURES);
        signatures.filter_map(|(_, value)| from_hex(value)).any(|signature| {
            let mut mac = (*self.0).clone();
            mac.update(time.as_bytes());
            mac.update(b".");
            mac.update(body);
            mac.verify_slice(&signature).is_ok()
        })
    }
}

/// The bytes of a digest in hexadecimal.
fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from(high? * 16 + low?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"id": "evt_1"}"#;

    fn key() -> WebhookSecret {
        WebhookSecret::new(&SecretString::from("whsec_test")).unwrap()
    }

    fn signature(time: i64, body: &[u8]) -> String {
        let mut mac = (*key().0).clone();
        mac.update(format!("{time}.").as_bytes());
        mac.update(body);
        mac.finalize().into_bytes().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
    }

    #[test]
    fn only_what_is_signed_and_recent_is_taken() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let at = |age_s: i64| {
            let time = now.timestamp() - age_s;
            format!("t={time},v1={}", signature(time, BODY))
        };
        for age_s in [0, 300, -300] {
            assert!(key().verifies(&at(age_s), BODY, now), "{age_s} s old");
        }
        for age_s in [301, -301, 86_400] {
            assert!(!key().verifies(&at(age_s), BODY, now), "{age_s} s old");
        }
        assert!(!key().verifies(&at(0), br#"{"id": "evt_2"}"#, now), "another body");
        let (time, good) = (now.timestamp(), signature(now.timestamp(), BODY));
        for (header, is_good) in [
            (format!("t={time},v1={},v1={good}", "0".repeat(64)), true),
            (format!("t={time}, v1={good}, v0=abc"), true),
            (format!("v1={good}"), false),
            (format!("t={time},v0={good}"), false),
            (format!("t={time},t=1,v1={good}"), false),
            (format!("t={},v1={good}", time + 1), false),
            (format!("t={time},v1={}", &good[..63]), false),
            (format!("t={time},v1={}", "é".repeat(32)), false),
            (format!("t={}9999999999,v1={good}", i64::MAX), false),
            (format!("t={},v1={good}", i64::MIN), false),
            (String::new(), false),
        ] {
            assert_eq!(key().verifies(&header, BODY, now), is_good, "{header}");
        }
    }
}
