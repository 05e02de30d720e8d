//! The events that clients send: which handler each has, whether it is admitted, and in which order it takes effect.
//!
//! Handlers are called where the socket's packets are read, one after the other, whereas futures run in tasks of their
//! own that overtake each other. So an event takes effect in the order sent: at once, or through the [`EventQueue`].

use std::collections::VecDeque;
use std::future::ready;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::Value;
use socketioxide::ParserError;
use socketioxide::extract::{Event, SocketRef, State, TryData};

use super::MAX_EVENT_BYTES;
use super::lifetime::{self, Authenticate};
use crate::chat::events::{JoinChat, LeaveChat, MarkRead, SendMessage, Typing};
use crate::chat::{self, MAX_MESSAGE_CHARS};
use crate::jobs::offers;
use crate::jobs::offers::{RespondSocketRequest, SendOfferSocketRequest};
use crate::realtime::{ClientEvent as _, CloseReason, Refusal, Reply, Verdict, lock};
use crate::state::SocketState;
use crate::web::extract::read_object;
use crate::web::reading::explain;

/// How many of a connection's events may wait in its queue.
const MAX_WAITING: usize = 256;

/// Makes a socket listen to every event.
pub(super) fn listen(socket: &SocketRef) {
    let queue = Arc::new(EventQueue::default());
    at_once(socket, SendMessage::NAME, chat::socket::send_message);
    at_once(socket, Typing::NAME, chat::socket::typing);
    at_once(socket, MarkRead::NAME, chat::socket::mark_read);
    in_order(socket, &queue, JoinChat::NAME, chat::socket::join_chat);
    in_order(socket, &queue, LeaveChat::NAME, |reply, event, state| async move {
        chat::socket::leave_chat(reply, event, &state);
    });
    in_order(socket, &queue, SendOfferSocketRequest::NAME, offers::socket::on_send_offer);
    in_order(socket, &queue, RespondSocketRequest::NAME, offers::socket::on_respond);
    in_order(socket, &queue, Authenticate::NAME, lifetime::authenticate);
    socket.on_fallback(|Event(event): Event, reply: Reply, State(state): State<SocketState>| {
        if let Some(reply) = admit_event(&event, reply, &state) {
            reply.refuse(&event, &Refusal::UnknownEvent);
        }
        ready(())
    });
}

/// Handles an event where packets are read.
fn at_once<D: DeserializeOwned + Send + Sync + 'static>(
    socket: &SocketRef,
    event: &'static str,
    handle: fn(Reply, D, &SocketState),
) {
    on_event(socket, event, move |reply, data, state| {
        handle(reply, data, &state);
        ready(()).boxed()
    });
}

/// Handles an event after those before it in the same queue.
fn in_order<D: DeserializeOwned + Send + Sync + 'static, F: Future<Output = ()> + Send + 'static>(
    socket: &SocketRef,
    queue: &Arc<EventQueue>,
    event: &'static str,
    handle: fn(Reply, D, SocketState) -> F,
) {
    let queue = queue.clone();
    on_event(socket, event, move |reply, data, state| {
        if queue.has_room() {
            return queue.push(handle(reply, data, state).boxed());
        }
        reply.refuse(event, &Refusal::Overloaded);
        ready(()).boxed()
    });
}

/// Calls `handle` with the payload of every admitted event of this name.
fn on_event<D: DeserializeOwned + Send + Sync + 'static>(
    socket: &SocketRef,
    event: &'static str,
    handle: impl Fn(Reply, D, SocketState) -> BoxFuture<'static, ()> + Clone + Send + Sync + 'static,
) {
    socket.on(event, move |reply: Reply, TryData(data): TryData<Value>, State(state): State<SocketState>| {
        let Some(reply) = admit_event(event, reply, &state) else { return ready(()).boxed() };
        match read(data) {
            Ok(data) => handle(reply, data, state),
            Err(refusal) => {
                reply.refuse(event, &refusal);
                ready(()).boxed()
            }
        }
    });
}

/// Reads a payload.
///
/// # Errors
/// [`Refusal::Invalid`] with the field named, where the payload is JSON.
fn read<D: DeserializeOwned>(payload: Result<Value, ParserError>) -> Result<D, Refusal> {
    match payload {
        Ok(payload) => Ok(read_object("the payload", payload)?),
        Err(error) if error.to_string().contains("hex escape") => {
            Err(Refusal::Invalid("the payload must not contain half a character: an emoji was cut in two".into()))
        }
        Err(error) => Err(Refusal::Invalid(format!("the payload {}", explain(&error)))),
    }
}

/// Returns the reply of an event that is to be handled. The others are answered here, unless their session has ended.
fn admit_event(event: &str, reply: Reply, state: &SocketState) -> Option<Reply> {
    if reply.session().has_ended() {
        return None;
    }
    match state.limits.count(reply.session().user_id) {
        Verdict::Allowed if reply.bytes() <= MAX_EVENT_BYTES => return Some(reply),
        Verdict::Allowed => {
            let rule = format!(
                "an event must be at most {MAX_EVENT_BYTES} bytes, and a message at most {MAX_MESSAGE_CHARS} characters"
            );
            reply.refuse(event, &Refusal::Invalid(rule));
        }
        Verdict::TooMany => reply.refuse(event, &Refusal::Overloaded),
        Verdict::Flood => {
            state.connections.close_socket(CloseReason::Flood, reply.socket(), reply.session());
        }
    }
    None
}

/// Events of one connection that are handled one after the other. Dies with its socket.
#[derive(Default)]
struct EventQueue(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    events: VecDeque<BoxFuture<'static, ()>>,
    /// Whether a task is handling them.
    is_taken: bool,
}

impl EventQueue {
    /// Whether one more event may wait.
    fn has_room(&self) -> bool {
        lock(&self.0).events.len() < MAX_WAITING
    }

    /// Adds an event. To be called where packets are read; the returned future is the event's own task, which handles
    /// whatever waits if no other task does.
    fn push(self: &Arc<Self>, event: BoxFuture<'static, ()>) -> BoxFuture<'static, ()> {
        let mut waiting = lock(&self.0);
        waiting.events.push_back(event);
        if std::mem::replace(&mut waiting.is_taken, true) {
            return ready(()).boxed();
        }
        let queue = self.clone();
        Box::pin(async move {
            while let Some(event) = queue.next() {
                if AssertUnwindSafe(event).catch_unwind().await.is_err() {
                    tracing::error!("a socket event panicked: it was not answered");
                }
            }
        })
    }

    fn next(&self) -> Option<BoxFuture<'static, ()>> {
        let mut waiting = lock(&self.0);
        let next = waiting.events.pop_front();
        waiting.is_taken = next.is_some();
        next
    }
}
