//! Answers to a client's event: its acknowledgement if it asked for one, an `error` event if it did not.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use socketioxide::extract::{AckSender, SocketRef};
use socketioxide::handler::FromMessageParts;
use socketioxide::handler::Value;
use socketioxide::socket::Socket;
use socketioxide::{SendError, SocketError};

use super::emit::{EncodedEvent, emit, encode};
use super::refusal::{AckError, ErrorEvent, Refusal};
use super::session::Session;

/// How long after a full buffer the pending acknowledgements are tried again: a client that pipelines its events can
/// cause more of them at once than fit.
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// One event of a socket, and where the answer to it goes.
pub struct Reply {
    socket: SocketRef,
    /// The same socket, as an acknowledgement wants it.
    inner: Arc<Socket>,
    session: Arc<Session>,
    ack_id: Option<i64>,
    /// The size of the event's arguments.
    bytes: usize,
}

/// The socket was never admitted, so nothing it sends is handled.
#[derive(Debug, thiserror::Error)]
#[error("the socket has no session")]
pub struct NoSession;

/// Answers an event once.
pub type Answer<T> = Box<dyn FnOnce(Result<T, Refusal>) + Send + Sync>;

impl FromMessageParts<socketioxide::adapter::LocalAdapter> for Reply {
    type Error = NoSession;

    fn from_message_parts(socket: &Arc<Socket>, value: &mut Value, ack_id: &Option<i64>) -> Result<Self, NoSession> {
        let session = socket.extensions.get::<Arc<Session>>().ok_or(NoSession)?;
        let bytes = match value {
            Value::Str(text, attachments) => text.len() + attachments.iter().flatten().map(Bytes::len).sum::<usize>(),
            Value::Bytes(bytes) => bytes.len(),
        };
        Ok(Self { socket: socket.clone().into(), inner: socket.clone(), session, ack_id: *ack_id, bytes })
    }
}

impl Reply {
    /// The socket that sent the event.
    #[must_use]
    pub const fn socket(&self) -> &SocketRef {
        &self.socket
    }

    /// Its session.
    #[must_use]
    pub const fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The size of the event's arguments.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Answers the event.
    pub fn answer(self, event: &str, answer: Result<impl Serialize, Refusal>) {
        match answer {
            Ok(payload) => self.ok(&payload),
            Err(refusal) => self.refuse(event, &refusal),
        }
    }

    /// Returns what answers the event later. If it is dropped uncalled, as by a panic, the event is refused as
    /// unavailable.
    #[must_use]
    pub fn into_answer<T: Serialize + 'static>(self, event: &'static str) -> Answer<T> {
        answer_once(move |answer| self.answer(event, answer))
    }

    /// Acknowledges the event, if that was asked for.
    pub fn ok(self, payload: &impl Serialize) {
        if let Some(ack_id) = self.ack_id {
            self.acknowledge(ack_id, encode(payload));
        }
    }

    /// Refuses the event.
    pub fn refuse(self, event: &str, refusal: &Refusal) {
        if let Some(ack_id) = self.ack_id {
            self.acknowledge(ack_id, encode(&AckError::from(refusal)));
        } else {
            let (message, code) = (refusal.to_string(), refusal.code());
            emit(&self.socket, &EncodedEvent::new(&ErrorEvent { message, code, event: event.to_owned().into() }));
        }
    }

    /// Sends an acknowledgement now, or as soon as the client has read what is before it.
    fn acknowledge(self, ack_id: i64, payload: Box<RawValue>) {
        if !self.session.has_pending_acks() && self.try_acknowledge(ack_id, &payload) {
            return;
        }
        if self.session.keep_ack(ack_id, payload) {
            tokio::spawn(self.send_pending_acks());
        }
    }

    async fn send_pending_acks(self) {
        let is_over = || self.session.has_ended() || !self.socket.connected();
        while !is_over() && !self.session.send_pending_acks(|ack_id, payload| self.try_acknowledge(ack_id, payload)) {
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    /// Returns `false` if there was no place for it.
    fn try_acknowledge(&self, ack_id: i64, payload: &RawValue) -> bool {
        let mut no_value = Value::Bytes(Bytes::new());
        let Ok(ack) = AckSender::from_message_parts(&self.inner, &mut no_value, &Some(ack_id));
        match ack.send(payload) {
            Ok(()) => true,
            Err(SendError::Socket(SocketError::InternalChannelFull)) => false,
            Err(error) => {
                tracing::debug!(%error, "an acknowledgement was not delivered");
                true
            }
        }
    }
}

fn answer_once<T: 'static>(answer: impl FnOnce(Result<T, Refusal>) + Send + Sync + 'static) -> Answer<T> {
    let mut unanswered = Unanswered(Some(answer), PhantomData);
    Box::new(move |result| {
        if let Some(answer) = unanswered.0.take() {
            answer(result);
        }
    })
}

/// An event that is refused when this is dropped.
struct Unanswered<T, A: FnOnce(Result<T, Refusal>)>(Option<A>, PhantomData<fn(T)>);

impl<T, A: FnOnce(Result<T, Refusal>)> Drop for Unanswered<T, A> {
    fn drop(&mut self) {
        if let Some(answer) = self.0.take() {
            answer(Err(Refusal::Unavailable));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn an_event_is_answered_once_also_if_nobody_does() {
        let (answers, received) = mpsc::channel();
        let answer = || {
            let answers = answers.clone();
            answer_once(move |answer: Result<i32, Refusal>| answers.send(answer.is_ok()).unwrap())
        };
        answer()(Ok(1));
        answer()(Err(Refusal::Forbidden));
        drop(answer());
        assert_eq!(received.try_iter().collect::<Vec<_>>(), [true, false, false]);
    }
}
