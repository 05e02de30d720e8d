//! Keyed digests of one-time codes: a million codes are soon tried, so the key is not where the digests are.

use std::fmt;
use std::sync::Arc;

use anyhow::Context as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use crate::types::UserId;

/// The key of the codes' digests, derived from `JWT_SECRET`.
#[derive(Clone)]
pub struct CodeKey(Arc<Hmac<Sha256>>);

impl fmt::Debug for CodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeKey")
    }
}

impl CodeKey {
    /// Derives the key.
    ///
    /// # Errors
    /// None: HMAC takes keys of every length.
    pub(crate) fn derive(jwt_secret: &SecretString) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(derive_key(jwt_secret, b"stm one-time codes")?)))
    }

    /// The digest under which a code is stored.
    pub(crate) fn digest(&self, user: UserId, purpose: &str, code: &str) -> Vec<u8> {
        self.mac(user, purpose, code).finalize().into_bytes().to_vec()
    }

    /// Whether a code has this digest, in constant time.
    pub(crate) fn matches(&self, user: UserId, purpose: &str, code: &str, digest: &[u8]) -> bool {
        self.mac(user, purpose, code).verify_slice(digest).is_ok()
    }

    fn mac(&self, user: UserId, purpose: &str, code: &str) -> Hmac<Sha256> {
        let mut mac = (*self.0).clone();
        mac.update(&user.0.to_be_bytes());
        mac.update(purpose.as_bytes());
        mac.update(code.as_bytes());
        mac
    }
}

/// A key for one purpose, derived from `JWT_SECRET`.
pub(super) fn derive_key(jwt_secret: &SecretString, purpose: &[u8]) -> anyhow::Result<Hmac<Sha256>> {
    let mut derived = Hmac::<Sha256>::new_from_slice(jwt_secret.expose_secret().as_bytes()).context("a key")?;
    derived.update(purpose);
    Hmac::new_from_slice(&derived.finalize().into_bytes()).context("a key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_belongs_to_one_user_purpose_and_key() {
        let key = CodeKey::derive(&SecretString::from("0123456789abcdef0123456789abcdef")).unwrap();
        let digest = key.digest(UserId(7), "password_reset", "123456");
        assert!(key.matches(UserId(7), "password_reset", "123456", &digest));
        assert!(!key.matches(UserId(8), "password_reset", "123456", &digest));
        assert!(!key.matches(UserId(7), "email_verification", "123456", &digest));
        assert!(!key.matches(UserId(7), "password_reset", "123457", &digest));
        let other = CodeKey::derive(&SecretString::from("another secret of thirty-two bytes")).unwrap();
        assert!(!other.matches(UserId(7), "password_reset", "123456", &digest));
    }
}
