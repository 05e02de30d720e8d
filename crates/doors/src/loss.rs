//! Which pooled connections are suspect.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When a connection was last found dead. All that are older are suspect: a restart of the server kills every
/// one, and each would fail one statement.
#[derive(Debug, Clone, Default)]
pub struct LastLoss(Arc<Mutex<Option<Instant>>>);

impl LastLoss {
    /// A connection has just been found dead.
    pub fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a connection of this age is older than the last loss.
    pub fn casts_doubt_on(&self, age: Duration) -> bool {
        let lost = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Instant::now().checked_sub(age).is_some_and(|made| lost.is_some_and(|lost| lost >= made))
    }
}
