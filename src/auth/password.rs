//! Passwords: Argon2id (RFC 9106) in PHC strings. Those of the first backend are bcrypt's until their next login.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use axum::http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use crate::error::{Error, Result, TooMany};

/// The minimum length of a password, in characters.
pub const MIN_CHARS: usize = 8;

/// The maximum length of a password, in bytes: a limit on the work that an attacker can cause.
pub const MAX_BYTES: usize = 256;

/// How long a request waits for a free slot before it is answered with 429.
const SLOT_TIMEOUT: Duration = Duration::from_secs(5);

/// When the client may retry, in seconds.
const RETRY_AFTER_S: u32 = 5;

/// The error of a request for which no slot became free.
fn overloaded() -> Error {
    let too_many = TooMany { what: "requests at once", wait_s: RETRY_AFTER_S, headers: HeaderMap::new() };
    Error::TooManyRequests(Box::new(too_many))
}

/// The rule of a new password's length.
pub const RULE: &str = "must be at least 8 characters, and at most 256 bytes";

/// Whether `password` is neither too short nor too long.
#[must_use]
pub fn acceptable_length(password: &SecretString) -> bool {
    let password = password.expose_secret();
    password.len() <= MAX_BYTES && password.chars().count() >= MIN_CHARS
}

/// Whether a hash is the first backend's, and so to be replaced at the next login.
#[must_use]
pub fn is_imported(hash: &str) -> bool {
    ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| hash.starts_with(prefix))
}

/// Hashes and verifies passwords, at most one per core at a time. Each takes 19 MiB and tens of milliseconds of CPU, so
/// more at once would only cost memory.
#[derive(Debug, Clone)]
pub struct Passwords {
    slots: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self { slots: Arc::new(Semaphore::new(cores)) }
    }
}

impl Passwords {
    /// Hashes a new password with a random salt.
    ///
    /// # Errors
    /// 429 no slot becomes free in time. 500 the machine fails: no memory, no randomness.
    pub async fn hash(&self, password: SecretString) -> Result<String> {
        self.run(move || {
            let hash: PasswordHash = Argon2::default().hash_password(password.expose_secret().as_bytes())?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether `password` matches. Without a hash (an unknown user) it does the same work, so that the time taken does
    /// not reveal who has an account.
    ///
    /// # Errors
    /// As [`hash`](Self::hash).
    pub async fn verify(&self, password: SecretString, hash: Option<String>) -> Result<bool> {
        self.run(move || {
            let password = password.expose_secret().as_bytes();
            if let Some(hash) = hash.as_deref().filter(|hash| is_imported(hash)) {
                return Ok(bcrypt::verify(password, hash).unwrap_or(false));
            }
            let Some(hash) = hash.as_deref().and_then(|hash| PasswordHash::new(hash).ok()) else {
                let _same_work: PasswordHash = Argon2::default().hash_password(password)?;
                return Ok(false);
            };
            Ok(Argon2::default().verify_password(password, &hash).is_ok())
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, argon2::password_hash::Error> + Send + 'static,
    ) -> Result<T> {
        let slot = tokio::time::timeout(SLOT_TIMEOUT, self.slots.clone().acquire_owned()).await;
        let slot = slot.map_err(|_| overloaded())?.context("a slot to hash a password")?;
        // The work holds the slot: a caller that stops waiting does not free it early.
        let done = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            work()
        });
        Ok(done.await.context("hash a password")?.context("hash a password")?)
    }
}
