//! Refused events: the reasons, and the payloads that clients receive.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::ToSchema;

use super::ServerEvent;
use crate::error::Error;

/// The reason of a refusal. The codes are stable words for programs.
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

impl From<&Refusal> for AckError {
    fn from(refusal: &Refusal) -> Self {
        Self { error: ErrorBody { message: refusal.to_string(), code: refusal.code() } }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct ErrorBody {
    message: String,
    /// A stable word for programs.
    code: &'static str,
}

/// `error`: an event without acknowledgement is refused, or the server is about to disconnect the socket.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorEvent {
    pub message: String,
    /// A stable word for programs.
    pub code: &'static str,
    /// The event that is refused; `disconnect` before the server disconnects the socket.
    #[schema(value_type = String)]
    pub event: Cow<'static, str>,
}

impl ServerEvent for ErrorEvent {
    const NAME: &'static str = "error";
}
