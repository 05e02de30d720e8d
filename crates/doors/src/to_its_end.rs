//! Work on a connection that nobody may leave half-done.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

/// `work`, which runs to its end even if the caller stops waiting: what is left is then done by a task of its own, in the
/// runtime in which it began. Without one it is dropped.
pub fn to_its_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> ToItsEnd<T> {
    ToItsEnd { work: Some(Box::pin(work)), runtime: Handle::try_current().ok() }
}

/// See [`to_its_end`].
pub struct ToItsEnd<T: Send + 'static> {
    /// `None` once it is over.
    work: Option<BoxFuture<'static, T>>,
    runtime: Option<Handle>,
}

impl<T: Send + 'static> ToItsEnd<T> {
    /// Whether it has returned, or panicked. It is never ready again.
    pub fn is_over(&self) -> bool {
        self.work.is_none()
    }
}

impl<T: Send + 'static> std::fmt::Debug for ToItsEnd<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ToItsEnd")
    }
}

impl<T: Send + 'static> Future for ToItsEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // Taken out, so that work which panics is not resumed.
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        let polled = work.as_mut().poll(cx);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for ToItsEnd<T> {
    fn drop(&mut self) {
        if let (Some(work), Some(runtime)) = (self.work.take(), &self.runtime) {
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

    /// What is over is not polled again, which would panic.
    #[tokio::test]
    async fn is_over_once() {
        let mut work = to_its_end(async { 8 });
        assert!(!work.is_over());
        assert_eq!((&mut work).now_or_never(), Some(8));
        assert!(work.is_over());
        assert_eq!((&mut work).now_or_never(), None);
    }

    /// Its runtime finishes it, from wherever it is dropped.
    #[test]
    fn goes_on_when_it_is_dropped_outside_its_runtime() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (go_on, waits) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let within = runtime.enter();
        let work = to_its_end(async move {
            waits.await.unwrap();
            done.send(7).unwrap();
        });
        drop(within);
        drop(work);
        go_on.send(()).unwrap();
        assert_eq!(runtime.block_on(is_done), Ok(7));
    }
}
