//! Which pooled connections are suspect.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// When something last happened that concerns every older connection: one was found dead, or the schema changed. A restart
/// of the server kills all of them, and each would fail one statement.
#[derive(Debug, Clone, Default)]
pub struct LastLoss(Arc<Mutex<Option<Instant>>>);

impl LastLoss {
    /// Records that it has just happened.
    pub fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether it has happened since.
    pub fn is_after(&self, moment: Instant) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|lost| lost >= moment)
    }
}
