//! Work on a connection that must not be left half-done.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

/// Runs `work` to completion even if the caller stops waiting: a separate task then does the rest. Without a Tokio runtime
/// the rest is dropped.
pub fn to_its_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> ToItsEnd<T> {
    ToItsEnd(Some(Box::pin(work)))
}

/// See [`to_its_end`].
pub struct ToItsEnd<T: Send + 'static>(Option<BoxFuture<'static, T>>);

impl<T: Send + 'static> Future for ToItsEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // Taken out, so that work that has panicked is not polled again.
        let Some(mut work) = self.0.take() else { return Poll::Pending };
        let polled = work.as_mut().poll(cx);
        if polled.is_pending() {
            self.0 = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for ToItsEnd<T> {
    fn drop(&mut self) {
        if let Some(work) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move { drop(work.await) });
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn goes_on_when_it_is_dropped() {
        let (go_on, waits) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let mut work = to_its_end(async move {
            waits.await.unwrap();
            done.send(7).unwrap();
        });
        assert!((&mut work).now_or_never().is_none());
        drop(work);
        go_on.send(()).unwrap();
        assert_eq!(is_done.await, Ok(7));
        assert_eq!(to_its_end(async { 8 }).await, 8);
    }
}
