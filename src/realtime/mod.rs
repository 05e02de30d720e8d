//! The engine behind the socket events: who is connected, what one connection and one user may do, and how events and
//! answers reach clients. It knows users and sessions, and no feature.
//!
//! With more than one process, [`Connections`] and the chat's rooms are the two places to change.

mod bulkhead;
mod connections;
mod emit;
mod limits;
mod refusal;
mod reply;
mod session;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use bulkhead::Bulkhead;
pub use connections::{CloseReason, Connections, PresenceChange};
pub use emit::{ClientEvent, EncodedEvent, ServerEvent, emit};
pub use limits::{Limits, Verdict};
pub use refusal::{AckError, ErrorEvent, Refusal};
pub use reply::{Answer, Reply};
pub use session::{Right, Session};

/// A mutex whose holder panicked still guards whole values: each change under it is one assignment.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
