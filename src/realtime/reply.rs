//! Answers to a client's event: its acknowledgement if it asked for one, an `error` event if it did not.

use std::convert::Infallible;
use std::sync::Arc;

use serde::Serialize;
use socketioxide::extract::{AckSender, SocketRef};
use socketioxide::handler::FromMessageParts;
use socketioxide::handler::Value;
use socketioxide::socket::Socket;

/// Why an event is refused. The codes are stable words for programs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The payload breaks a rule.
    #[error("{0}")]
    Invalid(String),
    /// Not a member of this chat, or there is no such chat.
    #[error("you are not a member of this chat")]
    Forbidden,
    /// The chat takes no more messages.
    #[error("this chat is closed")]
    ChatClosed,
    /// Too much waits to be written; nothing was stored.
    #[error("too many messages at once: send it again in a moment")]
    Overloaded,
    /// The database did not confirm in time: send again, with the same clientMessageId.
    #[error("the service is temporarily unavailable: send it again")]
    Unavailable,
    /// There is no such event.
    #[error("there is no such event")]
    UnknownEvent,
}

impl Refusal {
    /// The stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::Forbidden => "forbidden",
            Self::ChatClosed => "chat_closed",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::UnknownEvent => "unknown_event",
        }
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(%error, "a socket event could not be carried out");
        Self::Unavailable
    }
}

/// `{error: {message, code}}`
#[derive(Serialize)]
struct AckError {
    error: ErrorBody,
}

#[derive(Serialize)]
struct ErrorBody {
    message: String,
    code: &'static str,
}

/// `{message, code, event}`
#[derive(Serialize)]
struct ErrorEvent<'a> {
    message: String,
    code: &'static str,
    event: &'a str,
}

/// Where the answer to one event goes.
pub struct Reply {
    socket: SocketRef,
    ack: AckSender,
    wants_ack: bool,
}

impl FromMessageParts<socketioxide::adapter::LocalAdapter> for Reply {
    type Error = Infallible;

    fn from_message_parts(socket: &Arc<Socket>, value: &mut Value, ack_id: &Option<i64>) -> Result<Self, Infallible> {
        let Ok(ack) = AckSender::from_message_parts(socket, value, ack_id);
        let Ok(socket_ref) = SocketRef::from_message_parts(socket, value, ack_id);
        Ok(Self { socket: socket_ref, ack, wants_ack: ack_id.is_some() })
    }
}

impl Reply {
    /// The socket that sent the event.
    #[must_use]
    pub const fn socket(&self) -> &SocketRef {
        &self.socket
    }

    /// Acknowledges the event, if that was asked for.
    pub fn ok(self, payload: &impl Serialize) {
        if let Err(error) = self.ack.send(payload) {
            tracing::debug!(%error, "an acknowledgement was not delivered");
        }
    }

    /// Refuses the event.
    pub fn refuse(self, event: &str, refusal: &Refusal) {
        let (message, code) = (refusal.to_string(), refusal.code());
        let sent = if self.wants_ack {
            self.ack.send(&AckError { error: ErrorBody { message, code } })
        } else {
            self.socket.emit("error", &ErrorEvent { message, code, event })
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "a refusal was not delivered");
        }
    }
}
