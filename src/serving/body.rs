//! The bodies of requests, which have a time limit, and of responses, whose end makes a connection idle.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::Sleep;

use super::connection::Activity;
use crate::web::layers::SlowBody;

/// How fast a body must come once its time is up, in bytes a second: each second's worth gives it another second.
const MIN_BYTES_PER_SECOND: u64 = 64 * 1024;

/// A request's body, which fails if it takes too long.
pub(super) struct RequestBody {
    body: Incoming,
    /// `None` once the body is complete.
    reading: Option<Reading>,
}

struct Reading {
    deadline: Pin<Box<Sleep>>,
    /// What has come since the deadline was moved.
    bytes: u64,
    activity: Arc<Activity>,
    slow: SlowBody,
}

impl RequestBody {
    /// A request has begun: its connection waits for the body, if there is one, and works when it is complete.
    pub(super) fn begin(body: Incoming, activity: &Arc<Activity>, timeout: Duration, slow: &SlowBody) -> Self {
        if body.is_end_stream() {
            activity.works();
            return Self { body, reading: None };
        }
        activity.reads_body();
        let deadline = Box::pin(tokio::time::sleep(timeout));
        Self { body, reading: Some(Reading { deadline, bytes: 0, activity: activity.clone(), slow: slow.clone() }) }
    }
}

impl Reading {
    fn received(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        let seconds = self.bytes / MIN_BYTES_PER_SECOND;
        if seconds > 0 {
            self.bytes %= MIN_BYTES_PER_SECOND;
            let deadline = self.deadline.deadline() + Duration::from_secs(seconds);
            self.deadline.as_mut().reset(deadline);
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            if (frame.is_none() || self.body.is_end_stream())
                && let Some(Reading { activity, .. }) = self.reading.take()
            {
                activity.works();
            }
            if let (Some(reading), Some(Ok(frame))) = (&mut self.reading, &frame) {
                reading.received(frame.data_ref().map_or(0, Bytes::len));
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let Some(reading) = &mut self.reading else { return Poll::Pending };
        ready!(reading.deadline.as_mut().poll(cx));
        reading.slow.is_too_slow();
        Poll::Ready(Some(Err("the body took too long".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response's body. When it is sent, its connection waits for the next request.
pub(super) struct ResponseBody {
    body: Body,
    activity: Arc<Activity>,
}

impl ResponseBody {
    pub(super) const fn new(body: Body, activity: Arc<Activity>) -> Self {
        Self { body, activity }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.activity.is_idle();
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
