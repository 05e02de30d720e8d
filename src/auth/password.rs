//! Passwords: Argon2id (RFC 9106) in PHC strings.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use crate::error::{Error, Result};

/// The shortest password, in characters.
pub const MIN_CHARS: usize = 8;

/// The longest password, in bytes: hashing more would be work for an attacker's pleasure.
pub const MAX_BYTES: usize = 256;

/// How long a password waits for its turn; who comes when more wait is told to come back.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);

/// When to come back, in seconds.
const RETRY_AFTER_S: u32 = 5;

/// Is `password` neither too short nor too long?
#[must_use]
pub fn acceptable_length(password: &SecretString) -> bool {
    let password = password.expose_secret();
    password.len() <= MAX_BYTES && password.chars().count() >= MIN_CHARS
}

/// Hashes and verifies, on as many threads at once as there are cores: each takes 19 MiB and tens of
/// milliseconds, so more at a time would only take memory.
#[derive(Debug, Clone)]
pub struct Passwords {
    at_once: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self { at_once: Arc::new(Semaphore::new(cores)) }
    }
}

impl Passwords {
    /// Hashes a new password with a random salt.
    ///
    /// # Errors
    /// 429 too many passwords wait. 500 the machine fails: no memory, no randomness.
    pub async fn hash(&self, password: SecretString) -> Result<String> {
        self.run(move || {
            let hash: PasswordHash = Argon2::default().hash_password(password.expose_secret().as_bytes())?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Does `password` match? With no hash (nobody of that name) the work is done all the same, so that the
    /// time taken does not tell who has an account.
    ///
    /// # Errors
    /// As [`hash`](Self::hash).
    pub async fn verify(&self, password: SecretString, hash: Option<String>) -> Result<bool> {
        self.run(move || {
            let password = password.expose_secret().as_bytes();
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
        let turn = tokio::time::timeout(TURN_TIMEOUT, self.at_once.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| Error::TooManyRequests(RETRY_AFTER_S))?.context("a turn to hash a password")?;
        // The turn goes with the work: a caller that stops waiting does not let another in early.
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        Ok(done.await.context("hash a password")?.context("hash a password")?)
    }
}
