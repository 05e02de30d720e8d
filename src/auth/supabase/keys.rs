//! The project's public keys (JWKS, RFC 7517), cached. What is cached goes on serving while Supabase cannot be reached.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use crate::supervision::Task;

const PATH: &str = "/.well-known/jwks.json";

/// The age at which the keys are fetched again: a key that was revoked is trusted no longer.
const MAX_AGE: Duration = Duration::from_secs(10 * 60);

/// How long after a failure the keys are fetched again.
const RETRY_AFTER: Duration = Duration::from_secs(20);

/// How often an unknown `kid` may have them fetched: strangers name any.
const REFETCH_EVERY: Duration = Duration::from_secs(60);

/// The most keys that are kept.
const MAX_KEYS: usize = 32;

/// The lengths of an RSA modulus that are accepted, in bytes: 2048 to 8192 bits.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// A key with the one algorithm that it is used with.
#[derive(Clone)]
pub(super) struct Key {
    pub algorithm: Algorithm,
    pub decoding: DecodingKey,
}

/// The keys by their `kid`.
pub(super) struct Keys {
    client: Client,
    cached: RwLock<HashMap<String, Key>>,
    /// Held while the keys are fetched: those who wait for it find what was fetched. When an unknown `kid` had
    /// them fetched last.
    refetched: Mutex<Option<Instant>>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Keys {
    pub(super) fn new(client: Client) -> Self {
        Self { client, cached: RwLock::default(), refetched: Mutex::default() }
    }

    /// The key with this `kid`, as it is cached.
    pub(super) fn get(&self, kid: &str) -> Option<Key> {
        self.cached.read().unwrap_or_else(PoisonError::into_inner).get(kid).cloned()
    }

    /// The key with this `kid`. An unknown one may be new, so the keys are fetched again, at most once a minute.
    pub(super) async fn find(self: &Arc<Self>, kid: &str) -> Option<Key> {
        if let Some(key) = self.get(kid) {
            return Some(key);
        }
        let (keys, unknown) = (self.clone(), kid.to_owned());
        // A task of its own: a client that hangs up must not break off what others wait for.
        drop(tokio::spawn(async move { keys.refetch(&unknown).await }).await);
        self.get(kid)
    }

    async fn refetch(&self, kid: &str) {
        let mut refetched = self.refetched.lock().await;
        if self.get(kid).is_some() || refetched.is_some_and(|at| at.elapsed() < REFETCH_EVERY) {
            return;
        }
        *refetched = Some(Instant::now());
        self.fetch().await;
    }

    /// Fetches the keys at once and whenever they have come of age.
    pub(super) async fn keep_fresh(
        self: Arc<Self>,
        stopping: CancellationToken,
        task: Arc<Task>,
    ) -> anyhow::Result<()> {
        loop {
            let fetched = async {
                let _refetched = self.refetched.lock().await;
                self.fetch().await
            };
            let Some(is_fresh) = stopping.run_until_cancelled(fetched).await else { return Ok(()) };
            task.works();
            let pause = if is_fresh { MAX_AGE } else { RETRY_AFTER };
            if stopping.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return Ok(());
            }
        }
    }

    /// Replaces the keys. Returns `false`, and keeps those there are, if that fails.
    async fn fetch(&self) -> bool {
        let fetched = self.client.get(PATH, None).await.and_then(|body| parse(&body));
        match fetched {
            Ok(keys) => {
                *self.cached.write().unwrap_or_else(PoisonError::into_inner) = keys;
                true
            }
            Err(error) => {
                tracing::warn!("the keys of Supabase Auth (SUPABASE_URL) could not be fetched: {error:#}");
                false
            }
        }
    }
}

/// The usable keys of a set. Others are left out: a project may have keys for other purposes.
fn parse(body: &[u8]) -> anyhow::Result<HashMap<String, Key>> {
    #[derive(Deserialize)]
    struct KeySet {
        keys: Vec<Value>,
    }
    let set: KeySet = serde_json::from_slice(body).context("its answer is not a set of keys")?;
    let keys = set.keys.into_iter().filter_map(|key| usable(&serde_json::from_value(key).ok()?));
    Ok(keys.take(MAX_KEYS).collect())
}

fn usable(jwk: &Jwk) -> Option<(String, Key)> {
    let kid = jwk.common.key_id.clone().filter(|kid| !kid.is_empty())?;
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let algorithm = match (&jwk.algorithm, jwk.common.key_algorithm) {
        (AlgorithmParameters::EllipticCurve(key), None | Some(KeyAlgorithm::ES256))
            if key.curve == EllipticCurve::P256 =>
        {
            Algorithm::ES256
        }
        (AlgorithmParameters::RSA(key), None | Some(KeyAlgorithm::RS256))
            if RSA_BYTES.contains(&URL_SAFE_NO_PAD.decode(&key.n).ok()?.len()) =>
        {
            Algorithm::RS256
        }
        _ => return None,
    };
    Some((kid, Key { algorithm, decoding: DecodingKey::from_jwk(jwk).ok()? }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kids(keys: &Value) -> Vec<(String, Algorithm)> {
        let parsed = parse(json!({"keys": keys}).to_string().as_bytes()).unwrap();
        let mut kids: Vec<_> = parsed.into_iter().map(|(kid, key)| (kid, key.algorithm)).collect();
        kids.sort_by(|a, b| a.0.cmp(&b.0));
        kids
    }

    #[test]
    fn a_key_is_used_with_its_own_algorithm_alone() {
        let coordinate = URL_SAFE_NO_PAD.encode([7; 32]);
        let modulus = |bytes: usize| URL_SAFE_NO_PAD.encode(vec![0xc1; bytes]);
        let keys = json!([
            {"kid": "ec", "kty": "EC", "crv": "P-256", "x": coordinate, "y": coordinate, "use": "sig"},
            {"kid": "rsa", "kty": "RSA", "alg": "RS256", "n": modulus(256), "e": "AQAB"},
            {"kid": "another curve", "kty": "EC", "crv": "P-384", "x": coordinate, "y": coordinate},
            {"kid": "mixed", "kty": "EC", "crv": "P-256", "alg": "RS256", "x": coordinate, "y": coordinate},
            {"kid": "PSS", "kty": "RSA", "alg": "PS256", "n": modulus(256), "e": "AQAB"},
            {"kid": "short", "kty": "RSA", "alg": "RS256", "n": modulus(128), "e": "AQAB"},
            {"kid": "huge", "kty": "RSA", "alg": "RS256", "n": modulus(2048), "e": "AQAB"},
            {"kid": "secret", "kty": "oct", "alg": "HS256", "k": coordinate},
            {"kid": "encryption", "kty": "RSA", "use": "enc", "n": modulus(256), "e": "AQAB"},
            {"kty": "RSA", "alg": "RS256", "n": modulus(256), "e": "AQAB"},
            {"kid": 7, "kty": "RSA"}, "nothing", null,
        ]);
        assert_eq!(kids(&keys), [("ec".into(), Algorithm::ES256), ("rsa".into(), Algorithm::RS256)]);
    }

    #[test]
    fn what_is_no_set_of_keys_is_refused() {
        for body in ["", "<html>", "[]", "{}", r#"{"keys": 7}"#] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
