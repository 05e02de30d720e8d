//! The bodies of requests, which have a time limit and are read to their end even if nobody wants them, and of responses, whose
//! end makes a connection idle.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Version, header};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep};

use super::connection::{Activity, RequestNumber};
use crate::web::layers::SlowBody;

/// How fast a body must come once its time is up, in bytes a second: each second's worth gives it another second.
const MIN_BYTES_PER_SECOND: u64 = 64 * 1024;

/// The longest pause in a body that nobody wants: its client may be waiting for the connection to close.
const UNWANTED_PAUSE: Duration = Duration::from_secs(5);

/// The most that is read of a body that nobody wants, in bytes: more than the largest upload has.
const MAX_UNWANTED_BYTES: usize = 128 * 1024 * 1024;

/// A request's body, which fails if it takes too long.
///
/// What its handler leaves unread is read and discarded. Closing a connection with unread bytes resets it, and a client
/// that sends its whole request before reading would never see why it was refused.
pub(super) struct RequestBody {
    /// `None` once dropped.
    body: Option<TimedBody>,
    /// The client waits for `100 Continue` before it sends the body, and has not got it yet.
    waits_for_continue: bool,
}

struct TimedBody {
    body: Incoming,
    /// `None` once the body is complete.
    reading: Option<Reading>,
}

struct Reading {
    request: RequestNumber,
    timeout: Duration,
    deadline: Pin<Box<Sleep>>,
    /// What has come since the deadline was moved.
    bytes: u64,
    activity: Arc<Activity>,
    slow: SlowBody,
}

impl RequestBody {
    /// A request has begun: its connection waits for the body, if there is one, and works when it is complete.
    pub(super) fn begin(
        request: Request<Incoming>,
        activity: &Arc<Activity>,
        timeout: Duration,
        slow: &SlowBody,
    ) -> Request<Self> {
        let waits_for_continue = waits_for_continue(&request);
        request.map(|body| {
            let reading = (!body.is_end_stream()).then(|| Reading::begin(activity.clone(), timeout, slow.clone()));
            if reading.is_none() {
                activity.works();
            }
            Self { body: Some(TimedBody { body, reading }), waits_for_continue }
        })
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(mut body) = self.body.take() else { return };
        let Some(reading) = &mut body.reading else { return };
        reading.becomes_unwanted();
        if let (false, Ok(runtime)) = (self.waits_for_continue, Handle::try_current()) {
            runtime.spawn(discard(body));
        }
    }
}

/// Whether the client waits for `100 Continue` (RFC 9110, section 10.1.1). The rule is hyper's, which sends it when the body is
/// first polled.
fn waits_for_continue(request: &Request<Incoming>) -> bool {
    let expected = request.headers().get_all(header::EXPECT).iter().next_back();
    request.version() > Version::HTTP_10
        && expected.is_some_and(|expected| expected.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Reads the rest of a body, within its time limit.
async fn discard(mut body: TimedBody) {
    let mut bytes = 0;
    while bytes < MAX_UNWANTED_BYTES
        && let Ok(Some(Ok(frame))) = tokio::time::timeout(UNWANTED_PAUSE, body.frame()).await
    {
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
}

impl Reading {
    fn begin(activity: Arc<Activity>, timeout: Duration, slow: SlowBody) -> Self {
        let (request, deadline) = (activity.reads_body(), Box::pin(tokio::time::sleep(timeout)));
        Self { request, timeout, deadline, bytes: 0, activity, slow }
    }

    /// The handler reads no further: the rest gets the whole time again, and cannot change the response any more.
    fn becomes_unwanted(&mut self) {
        self.deadline.as_mut().reset(Instant::now() + self.timeout);
        self.slow = SlowBody::default();
    }

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

impl Drop for Reading {
    fn drop(&mut self) {
        self.activity.has_body(self.request);
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            if frame.is_none() || self.body.is_end_stream() {
                self.reading = None;
            }
            if let (Some(reading), Some(Ok(frame))) = (&mut self.reading, &frame) {
                reading.received(frame.data_ref().map_or(0, Bytes::len));
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let Some(reading) = &mut self.reading else { return Poll::Pending };
        ready!(reading.deadline.as_mut().poll(cx));
        reading.slow.times_out();
        Poll::Ready(Some(Err("the body took too long".into())))
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // This makes hyper send `100 Continue`.
        self.waits_for_continue = false;
        self.body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(|timed| timed.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, |timed| timed.body.size_hint())
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
        self.activity.has_answered();
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
