//! The open connections: what each waits for, since when, and which one goes when there is no room.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::config::HttpLimits;

/// The answer to a client for whom there is no room.
const NO_ROOM: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waits for the rest of a request's head.
    Head,
    /// Waits for the rest of a request's body, which has a time limit of its own.
    Body,
    /// Has answered, and waits for the rest of a body that nobody wants, which has a time limit of its own.
    Unwanted,
    /// Works for its client.
    Working,
    /// Waits for the next request.
    Idle,
    /// Is a websocket.
    Upgraded,
}

/// What a connection does, and since when.
#[derive(Debug)]
pub(super) struct Activity {
    address: Option<IpAddr>,
    current: Mutex<Current>,
    cut: CancellationToken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Current {
    phase: Phase,
    since: Instant,
    request: RequestNumber,
}

/// One of a connection's requests: its body may end when the next request has begun already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestNumber(u64);

impl Activity {
    /// A request with a body has begun.
    pub(super) fn reads_body(&self) -> RequestNumber {
        self.begins(Phase::Body)
    }

    /// A request without a body has begun.
    pub(super) fn works(&self) {
        self.begins(Phase::Working);
    }

    fn begins(&self, phase: Phase) -> RequestNumber {
        let mut current = self.lock();
        let request = RequestNumber(current.request.0 + 1);
        *current = Current { phase, since: Instant::now(), request };
        request
    }

    pub(super) fn is_upgraded(&self) {
        self.change(|_| Phase::Upgraded);
    }

    /// The body of a request is complete, or will not be read any further.
    pub(super) fn has_body(&self, request: RequestNumber) {
        self.change(|current| match current.phase {
            Phase::Body if current.request == request => Phase::Working,
            Phase::Unwanted if current.request == request => Phase::Idle,
            other => other,
        });
    }

    /// The response has been sent.
    pub(super) fn has_answered(&self) {
        self.change(|current| if current.phase == Phase::Body { Phase::Unwanted } else { Phase::Idle });
    }

    /// Something has arrived.
    fn has_read(&self) {
        self.change(|current| if current.phase == Phase::Idle { Phase::Head } else { current.phase });
    }

    /// Since when it has been waiting for its client; `None` if it has not, or is being cut.
    fn waits_since(&self) -> Option<Instant> {
        let Current { phase, since, .. } = *self.lock();
        let is_waiting = matches!(phase, Phase::Head | Phase::Body | Phase::Unwanted | Phase::Idle);
        (is_waiting && !self.cut.is_cancelled()).then_some(since)
    }

    /// Changes the phase. Its time begins anew only with another phase, and with each arrival at a websocket.
    fn change(&self, to: impl FnOnce(Current) -> Phase) {
        let mut current = self.lock();
        let phase = to(*current);
        if phase != current.phase || phase == Phase::Upgraded {
            (current.phase, current.since) = (phase, Instant::now());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All open connections. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    open: Arc<Mutex<Open>>,
    limits: HttpLimits,
    /// How long a websocket may send nothing, not even the pong of a heartbeat.
    silence: Duration,
}

#[derive(Debug, Default)]
struct Open {
    next_id: u64,
    connections: HashMap<u64, Arc<Activity>>,
    /// How many are open per address.
    addresses: HashMap<IpAddr, usize>,
}

impl Connections {
    pub(super) fn new(limits: HttpLimits, silence: Duration) -> Self {
        Self { open: Arc::default(), limits, silence }
    }

    /// Admits a connection, if need be in place of another one that waits. Answers 503 and closes it if there is no room.
    pub(super) fn admit(&self, stream: TcpStream, address: Option<IpAddr>) -> Option<(Io, Arc<Activity>)> {
        let Some((id, activity)) = self.enter(address) else {
            refuse(&stream);
            tracing::debug!("there is no room for a connection");
            return None;
        };
        let cut = Box::pin(activity.cut.clone().cancelled_owned());
        let place = Place { connections: self.clone(), id };
        Some((Io { stream, cut, activity: activity.clone(), _place: place }, activity))
    }

    fn enter(&self, address: Option<IpAddr>) -> Option<(u64, Arc<Activity>)> {
        let mut open = self.open();
        let of_address = address.and_then(|address| open.addresses.get(&address)).copied().unwrap_or_default();
        let has_room = (of_address < self.limits.max_connections_per_address || open.cut_longest_waiting(address))
            && (open.connections.len() < self.limits.max_connections || open.cut_longest_waiting(None));
        if !has_room {
            return None;
        }
        let id = open.next_id;
        open.next_id += 1;
        let current = Current { phase: Phase::Head, since: Instant::now(), request: RequestNumber(0) };
        let activity = Arc::new(Activity { address, current: Mutex::new(current), cut: CancellationToken::new() });
        open.connections.insert(id, activity.clone());
        if let Some(address) = address {
            *open.addresses.entry(address).or_default() += 1;
        }
        Some((id, activity))
    }

    /// Cuts the connection that has been waiting longest, if one does.
    pub(super) fn make_room(&self) {
        self.open().cut_longest_waiting(None);
    }

    /// Cuts every connection that waits for its client.
    pub(super) fn cut_waiting(&self) {
        for activity in self.open().connections.values().filter(|activity| activity.waits_since().is_some()) {
            activity.cut.cancel();
        }
    }

    /// Cuts every connection whose client has taken too long.
    pub(super) fn cut_overdue(&self, now: Instant) {
        for activity in self.open().connections.values() {
            let Current { phase, since, .. } = *activity.lock();
            let limit = match phase {
                Phase::Head => self.limits.head_timeout,
                Phase::Idle => self.limits.keep_alive,
                Phase::Upgraded => self.silence,
                Phase::Body | Phase::Unwanted | Phase::Working => continue,
            };
            if now.duration_since(since) >= limit {
                activity.cut.cancel();
            }
        }
    }

    fn leave(&self, id: u64) {
        let mut open = self.open();
        let Some(address) = open.connections.remove(&id).and_then(|activity| activity.address) else { return };
        if let Some(count) = open.addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                open.addresses.remove(&address);
            }
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers that there is no room. Reads the request if it has arrived: unread bytes would reset the connection, and the
/// client might never see the answer.
fn refuse(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let _best_effort = socket.send(NO_ROOM);
    let _best_effort = (&*socket).read(&mut [0; 4096]);
}

impl Open {
    /// Cuts the connection, of this address or of any, that has been waiting longest. Returns whether there was one.
    fn cut_longest_waiting(&self, address: Option<IpAddr>) -> bool {
        let waiting = self.connections.values().filter(|activity| address.is_none() || activity.address == address);
        let longest =
            waiting.filter_map(|activity| Some((activity.waits_since()?, activity))).min_by_key(|(at, _)| *at);
        longest.inspect(|(_, activity)| activity.cut.cancel()).is_some()
    }
}

/// A connection's place among those that are open, for as long as its stream lives.
#[derive(Debug)]
struct Place {
    connections: Connections,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.leave(self.id);
    }
}

/// A stream that can be cut, and whose activity is noted.
pub(super) struct Io {
    stream: TcpStream,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    activity: Arc<Activity>,
    _place: Place,
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if matches!(read, Poll::Ready(Ok(()))) {
            self.activity.has_read();
        }
        read
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(max_connections: usize, max_connections_per_address: usize) -> Connections {
        let second = Duration::from_secs(1);
        let limits = HttpLimits {
            head_timeout: 10 * second,
            body_timeout: 20 * second,
            keep_alive: 75 * second,
            max_connections,
            max_connections_per_address,
        };
        Connections::new(limits, 90 * second)
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([203, 0, 113, last])
    }

    #[test]
    fn whoever_waits_longest_makes_room_and_whoever_works_stays() {
        let connections = connections(3, 10);
        let mut open = Vec::new();
        for _ in 0..3 {
            open.push(connections.enter(None).expect("room"));
            std::thread::sleep(Duration::from_millis(2));
        }
        open[0].1.works();
        open.push(connections.enter(None).expect("room"));
        let cut = open.iter().map(|(_, activity)| activity.cut.is_cancelled()).collect::<Vec<_>>();
        assert_eq!(cut, [false, true, false, false]);
        // It counts until it is gone; the next to go is another one.
        connections.leave(open[1].0);
        open[2].1.is_upgraded();
        open[3].1.works();
        assert!(connections.enter(None).is_none(), "nobody waits");
        open[3].1.has_answered();
        assert!(connections.enter(None).is_some());
        assert!(open[3].1.cut.is_cancelled());
    }

    #[test]
    fn an_address_has_its_share_and_harms_no_other() {
        let connections = connections(10, 2);
        let [first, second] = [0, 1].map(|_| connections.enter(Some(address(1))).expect("room"));
        first.1.works();
        let other = connections.enter(Some(address(2))).expect("room");
        let third = connections.enter(Some(address(1))).expect("room");
        assert!(second.1.cut.is_cancelled() && !other.1.cut.is_cancelled());
        connections.leave(second.0);
        third.1.works();
        assert!(connections.enter(Some(address(1))).is_none(), "both of its connections work");
        assert!(connections.enter(None).is_some() && connections.enter(Some(address(3))).is_some());
        connections.leave(third.0);
        assert!(connections.enter(Some(address(1))).is_some());
        assert_eq!(connections.open().addresses[&address(1)], 2);
    }

    /// What can happen to a connection.
    const HAS_READ: fn(&Activity) = Activity::has_read;
    const READS_BODY: fn(&Activity) = |activity| {
        activity.reads_body();
    };
    const HAS_BODY: fn(&Activity) = |activity| {
        let request = activity.lock().request;
        activity.has_body(request);
    };
    const HAS_ANSWERED: fn(&Activity) = Activity::has_answered;

    #[test]
    fn every_phase_has_its_time() {
        for (set, limit_s) in [
            (HAS_READ, Some(10)),
            (HAS_ANSWERED, Some(75)),
            (Activity::is_upgraded, Some(90)),
            (READS_BODY, None),
            (|activity| [READS_BODY, HAS_ANSWERED].iter().for_each(|happens| happens(activity)), None),
            (Activity::works, None),
        ] {
            let connections = connections(10, 10);
            let (_, activity) = connections.enter(None).expect("room");
            set(&activity);
            let time_is_up = activity.lock().since + Duration::from_secs(limit_s.unwrap_or(1000));
            connections.cut_overdue(time_is_up - Duration::from_millis(1));
            assert!(!activity.cut.is_cancelled(), "{activity:?}");
            connections.cut_overdue(time_is_up);
            assert_eq!(activity.cut.is_cancelled(), limit_s.is_some(), "{activity:?}");
        }
    }

    #[test]
    fn an_unwanted_body_waits_for_its_end() {
        for (steps, phase) in [
            (&[READS_BODY, HAS_BODY] as &[fn(&Activity)], Phase::Working),
            (&[READS_BODY, HAS_BODY, HAS_ANSWERED], Phase::Idle),
            (&[READS_BODY, HAS_ANSWERED, HAS_READ], Phase::Unwanted),
            (&[READS_BODY, HAS_ANSWERED, HAS_BODY], Phase::Idle),
            (&[READS_BODY, HAS_ANSWERED, HAS_BODY, HAS_READ], Phase::Head),
            (&[Activity::works, HAS_BODY], Phase::Working),
        ] {
            let connections = connections(10, 10);
            let (_, activity) = connections.enter(None).expect("room");
            for step in steps {
                step(&activity);
            }
            assert_eq!(activity.lock().phase, phase);
            let waits = phase != Phase::Working;
            assert_eq!(activity.waits_since().is_some(), waits, "{phase:?}");
        }
    }

    #[test]
    fn the_end_of_a_body_says_nothing_about_the_next_request() {
        let connections = connections(10, 10);
        let (_, activity) = connections.enter(None).expect("room");
        let first = activity.reads_body();
        activity.has_answered();
        let second = activity.reads_body();
        activity.has_body(first);
        assert_eq!(activity.lock().phase, Phase::Body);
        activity.has_body(second);
        assert_eq!(activity.lock().phase, Phase::Working);
    }

    #[test]
    fn bytes_after_a_pause_begin_a_head_and_later_ones_do_not() {
        let connections = connections(10, 10);
        let (_, activity) = connections.enter(None).expect("room");
        activity.has_answered();
        activity.has_read();
        let begun = *activity.lock();
        std::thread::sleep(Duration::from_millis(2));
        activity.has_read();
        assert_eq!((*activity.lock(), begun.phase), (begun, Phase::Head));
    }
}
