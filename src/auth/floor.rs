//! The time before which nobody learns whether an account exists.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::Result;

/// The time before which no answer leaves: longer than the work for an account that exists.
pub(crate) const FLOOR: Duration = Duration::from_millis(300);

/// The result of the work, no earlier than [`FLOOR`] from now.
pub(crate) async fn no_earlier<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let earliest = Instant::now() + FLOOR;
    let done = work.await;
    tokio::time::sleep_until(earliest).await;
    done
}
