//! The chat's state of one connection: which chats it is in, and which of its messages are on their way.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use socketioxide::extract::SocketRef;

use crate::realtime::{Refusal, Session, lock};
use crate::types::{ChatId, MessageId, UserId};

/// How many messages of one connection may wait for their acknowledgement.
const MAX_UNACKED: usize = 2500;

/// How many chats a connection may be in.
const MAX_CHATS: usize = 1000;

/// The chats and pending messages of a connection. Dies with its socket.
pub struct ChatSession {
    pub user_id: UserId,
    session: Arc<Session>,
    sending: Mutex<HashSet<MessageId>>,
    chats: Mutex<HashSet<ChatId>>,
}

/// A message on its way: from its arrival until it is delivered or refused.
pub struct Sending {
    session: Arc<ChatSession>,
    message: MessageId,
}

impl Drop for Sending {
    fn drop(&mut self) {
        lock(&self.session.sending).remove(&self.message);
    }
}

impl std::fmt::Debug for ChatSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatSession").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

impl ChatSession {
    /// A connection in no chat.
    #[must_use]
    pub fn new(session: Arc<Session>) -> Self {
        Self { user_id: session.user_id, session, sending: Mutex::default(), chats: Mutex::default() }
    }

    /// The chat session of an admitted socket.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`] if the socket was never admitted.
    pub fn of(socket: &SocketRef) -> Result<Arc<Self>, Refusal> {
        socket.extensions.get::<Arc<Self>>().ok_or(Refusal::Forbidden)
    }

    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.session.has_ended()
    }

    /// Notes that a message of its own is on its way.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] if too many are.
    pub fn begin_sending(self: &Arc<Self>, message: MessageId) -> Result<Sending, Refusal> {
        let mut sending = lock(&self.sending);
        if sending.len() >= MAX_UNACKED {
            return Err(Refusal::Overloaded);
        }
        sending.insert(message);
        Ok(Sending { session: self.clone(), message })
    }

    /// Whether this message is on its way from this connection.
    pub(super) fn is_sending(&self, message: MessageId) -> bool {
        lock(&self.sending).contains(&message)
    }

    /// Notes that it is in a chat.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] if it is in too many; [`Refusal::Forbidden`] if it has ended: nobody would take it out again.
    pub(super) fn note_chat(&self, chat: ChatId) -> Result<(), Refusal> {
        let mut chats = lock(&self.chats);
        if self.has_ended() {
            return Err(Refusal::Forbidden);
        }
        if chats.len() >= MAX_CHATS && !chats.contains(&chat) {
            return Err(Refusal::Invalid(format!("a connection can be in at most {MAX_CHATS} chats: leave one first")));
        }
        chats.insert(chat);
        Ok(())
    }

    /// Notes that it has left a chat.
    pub(super) fn forget_chat(&self, chat: ChatId) {
        lock(&self.chats).remove(&chat);
    }

    /// Returns the chats that it is in, and forgets them.
    pub(super) fn take_chats(&self) -> HashSet<ChatId> {
        std::mem::take(&mut lock(&self.chats))
    }
}
