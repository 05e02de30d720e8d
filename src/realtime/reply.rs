//! Answers to a client's event: its acknowledgement if it asked for one, an `error` event if it did not.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use serde::Serialize;
use socketioxide::extract::{AckSender, SocketRef};
use socketioxide::handler::FromMessageParts;
use socketioxide::handler::Value;
use socketioxide::socket::Socket;
use socketioxide::{SendError, SocketError};
use utoipa::ToSchema;

use super::session::Session;
use super::{Encoded, emit};
use crate::error::Error;

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
    /// The present state does not allow it: a code and a sentence.
    #[error("{1}")]
    Conflict(&'static str, String),
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
            Self::Conflict(code, _) => code,
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

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(_) | Error::Malformed(_) | Error::Refused(..) => {
                let (_, message) = error.code_and_message();
                Self::Invalid(message)
            }
            Error::NotFound(_) => Self::Forbidden,
            Error::Conflict("chat_closed", _) => Self::ChatClosed,
            Error::Conflict(code, message) => Self::Conflict(code, message),
            defect => {
                let cause = std::error::Error::source(&defect).map(tracing::field::display);
                tracing::error!(cause, "a socket event could not be carried out");
                Self::Unavailable
            }
        }
    }
}

/// The acknowledgement of an event that is refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct AckError {
    error: ErrorBody,
}

#[derive(Debug, Serialize, ToSchema)]
struct ErrorBody {
    /// A sentence.
    message: String,
    /// A stable word for programs.
    code: &'static str,
}

/// `error`: an event without acknowledgement is refused, or the server is about to disconnect the socket.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorEvent {
    /// A sentence.
    pub message: String,
    /// A stable word for programs.
    pub code: &'static str,
    /// The event that is refused; `disconnect` before the server disconnects the socket.
    #[schema(value_type = String)]
    pub event: Cow<'static, str>,
}

/// When acknowledgements for which a socket's buffer had no place are tried again: a client that pipelines its events
/// can be told more at once than fits.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// One event of a socket, and where the answer to it goes.
pub struct Reply {
    socket: SocketRef,
    /// The same socket, as an acknowledgement wants it.
    inner: Arc<Socket>,
    session: Arc<Session>,
    ack_id: Option<i64>,
}

/// The socket was never admitted, so nothing it sends is heard.
#[derive(Debug, thiserror::Error)]
#[error("the socket has no session")]
pub struct NoSession;

impl FromMessageParts<socketioxide::adapter::LocalAdapter> for Reply {
    type Error = NoSession;

    fn from_message_parts(socket: &Arc<Socket>, _value: &mut Value, ack_id: &Option<i64>) -> Result<Self, NoSession> {
        let session = socket.extensions.get::<Arc<Session>>().ok_or(NoSession)?;
        Ok(Self { socket: socket.clone().into(), inner: socket.clone(), session, ack_id: *ack_id })
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

    /// Answers the event.
    pub fn answer(self, event: &str, answer: Result<impl Serialize, Refusal>) {
        match answer {
            Ok(payload) => self.ok(&payload),
            Err(refusal) => self.refuse(event, &refusal),
        }
    }

    /// Acknowledges the event, if that was asked for.
    pub fn ok(self, payload: &impl Serialize) {
        if let Some(ack_id) = self.ack_id {
            self.acknowledge(ack_id, Encoded::new(payload));
        }
    }

    /// Refuses the event.
    pub fn refuse(self, event: &str, refusal: &Refusal) {
        let (message, code) = (refusal.to_string(), refusal.code());
        if let Some(ack_id) = self.ack_id {
            self.acknowledge(ack_id, Encoded::new(&AckError { error: ErrorBody { message, code } }));
        } else {
            let error = ErrorEvent { message, code, event: event.to_owned().into() };
            emit(&self.socket, "error", &Encoded::new(&error));
        }
    }

    /// Now, or as soon as the client has read what is before it.
    fn acknowledge(self, ack_id: i64, payload: Encoded) {
        if !self.session.has_late() && self.try_acknowledge(ack_id, &payload) {
            return;
        }
        if self.session.keep_late(ack_id, payload) {
            tokio::spawn(async move {
                let is_over = || self.session.has_ended() || !self.socket.connected();
                while !is_over() && !self.session.send_late(|ack_id, payload| self.try_acknowledge(ack_id, payload)) {
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            });
        }
    }

    /// `false`: there was no place for it.
    fn try_acknowledge(&self, ack_id: i64, payload: &Encoded) -> bool {
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
