//! Sockets that have not entered the namespace: they need no token, so they are bounded, in all and per address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::{CONNECT_TIMEOUT, request_head};
use crate::config::WaitingLimits;
use crate::limits::ClientAddress;
use crate::realtime::lock;

/// How many sockets are waiting. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct WaitingSockets {
    limits: WaitingLimits,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    in_all: usize,
    addresses: HashMap<IpAddr, usize>,
}

/// A socket's place among those that are waiting: until it enters, until it is gone, or until its time is up. It is an
/// extension of the request that opens the socket, and so lives as long as that.
#[derive(Debug)]
pub(super) struct Place {
    sockets: WaitingSockets,
    address: Option<IpAddr>,
    is_free: AtomicBool,
}

impl Place {
    /// The socket has entered the namespace, or cannot any more.
    pub(super) fn leave(&self) {
        if !self.is_free.swap(true, Ordering::Relaxed) {
            self.sockets.discount(self.address);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

impl WaitingSockets {
    pub(super) fn new(limits: WaitingLimits) -> Self {
        Self { limits, waiting: Arc::default() }
    }

    /// Returns a place, if there is one.
    fn enter(&self, address: Option<IpAddr>) -> Option<Arc<Place>> {
        if !self.count(address) {
            return None;
        }
        let place = Arc::new(Place { sockets: self.clone(), address, is_free: AtomicBool::new(false) });
        let weak = Arc::downgrade(&place);
        tokio::spawn(async move {
            tokio::time::sleep(CONNECT_TIMEOUT).await;
            if let Some(place) = weak.upgrade() {
                place.leave();
            }
        });
        Some(place)
    }

    /// Counts one more, unless that is too many.
    fn count(&self, address: Option<IpAddr>) -> bool {
        let mut waiting = lock(&self.waiting);
        let of_address = address.and_then(|address| waiting.addresses.get(&address)).copied().unwrap_or_default();
        if waiting.in_all >= self.limits.in_all || of_address >= self.limits.per_address {
            return false;
        }
        waiting.in_all += 1;
        if let Some(address) = address {
            waiting.addresses.insert(address, of_address + 1);
        }
        true
    }

    fn discount(&self, address: Option<IpAddr>) {
        let mut waiting = lock(&self.waiting);
        waiting.in_all -= 1;
        if let Some(address) = address
            && let Some(count) = waiting.addresses.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                waiting.addresses.remove(&address);
            }
        }
    }
}

/// Gives every request that opens a socket a place, or refuses it. Clients try again by themselves.
pub(super) async fn admit(State(sockets): State<WaitingSockets>, mut request: Request, next: Next) -> Response {
    if opens_a_socket(&request) {
        let client = request.extensions().get::<ClientAddress>();
        let Some(place) = sockets.enter(client.and_then(|client| client.0)) else {
            tracing::debug!("too many sockets have not entered the namespace");
            let sentence = "too many sockets are about to connect: try again in a moment\n";
            return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "2")], sentence).into_response();
        };
        request_head::reduce(&mut request);
        request.extensions_mut().insert(place);
    }
    next.run(request).await
}

/// Whether a request to the engine names no socket that exists.
fn opens_a_socket(request: &Request) -> bool {
    !request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("sid=")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([203, 0, 113, last])
    }

    #[tokio::test]
    async fn a_place_is_free_again_after_entering_or_leaving() {
        let sockets = WaitingSockets::new(WaitingLimits { in_all: 3, per_address: 2 });
        let first = sockets.enter(Some(address(1))).expect("a place");
        let second = sockets.enter(Some(address(1))).expect("a place");
        assert!(sockets.enter(Some(address(1))).is_none(), "an address has its share");
        let third = sockets.enter(Some(address(2))).expect("a place");
        assert!(sockets.enter(None).is_none(), "no place at all");

        first.leave();
        let fourth = sockets.enter(Some(address(1))).expect("one has entered");
        assert!(sockets.enter(Some(address(1))).is_none());
        drop(second);
        let fifth = sockets.enter(Some(address(1))).expect("one has gone");

        drop([first, third, fourth, fifth]);
        let waiting = lock(&sockets.waiting);
        assert_eq!((waiting.in_all, waiting.addresses.len()), (0, 0));
    }

    #[test]
    fn only_the_first_request_opens_a_socket() {
        let opens = |uri: &str| opens_a_socket(&Request::builder().uri(uri).body(axum::body::Body::empty()).unwrap());
        assert!(opens("/socket.io/?EIO=4&transport=polling") && opens("/socket.io?EIO=4&transport=websocket"));
        assert!(!opens("/socket.io/?EIO=4&transport=polling&sid=abc"));
    }
}
