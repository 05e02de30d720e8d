//! Events by name: the traits that tie a name to its payload, and how an event is sent.

use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use socketioxide::SendError;
use socketioxide::extract::SocketRef;

/// The payload of an event that the server sends.
pub trait ServerEvent: Serialize {
    /// The event's name.
    const NAME: &'static str;
}

/// The payload of an event that clients send.
pub trait ClientEvent {
    /// The event's name.
    const NAME: &'static str;
    /// The payload of its acknowledgement.
    type Ack: Serialize;
}

/// An event, serialized once for all its receivers. As a value it serializes to its payload.
#[derive(Debug)]
pub struct EncodedEvent {
    name: &'static str,
    payload: Box<RawValue>,
}

impl EncodedEvent {
    /// Serializes an event.
    #[must_use]
    pub fn new<E: ServerEvent>(event: &E) -> Self {
        Self { name: E::NAME, payload: encode(event) }
    }

    /// Sends the event to one socket.
    ///
    /// # Errors
    /// The socket's buffer is full, or the socket is closed.
    pub fn try_emit(&self, socket: &SocketRef) -> Result<(), SendError> {
        socket.emit(self.name, &self.payload)
    }

    /// Sends the event to one socket, which may lose it even if its buffer has room.
    pub fn emit_volatile(&self, socket: &SocketRef) {
        let _lost = socket.volatile().emit(self.name, &self.payload);
    }
}

impl Serialize for EncodedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.payload.serialize(serializer)
    }
}

/// Sends an event to one socket. A socket whose buffer is full loses it.
pub fn emit(socket: &SocketRef, event: &EncodedEvent) {
    if let Err(error) = event.try_emit(socket) {
        tracing::debug!(event = event.name, %error, "not delivered");
    }
}

/// Serializes a payload.
pub(super) fn encode(payload: &impl Serialize) -> Box<RawValue> {
    to_raw_value(payload).unwrap_or_else(|error| {
        tracing::error!(%error, "a payload could not be serialized");
        RawValue::NULL.to_owned()
    })
}
