//! The chat's events: join, leave, send, typing, read.

use tokio::time::Instant;
use uuid::Uuid;

use super::events::{
    JoinChat, JoinedChat, LeaveChat, LeftChat, MarkRead, SendMessage, Typing, UserJoined, UserLeft, UserTyping,
};
use super::live::insert_messages::NewMessage;
use super::live::queries::{self, JoinQuery, JoinSnapshot};
use super::live::{ChatSession, JoinOutcome, Outgoing, ReadMark, ResumePoint};
use super::types::{check_client_message_id, check_message, with_references};
use super::{MessageType, MessageView};
use crate::realtime::{ClientEvent as _, EncodedEvent, Refusal, Reply, emit};
use crate::state::SocketState;
use crate::types::{ChatId, MessageId, UserId};

/// The most messages, and bytes of text, that a join returns.
const MAX_MISSED: i64 = 200;
const MAX_MISSED_BYTES: usize = 128 * 1024;

/// Queues a message for its writer.
pub(crate) fn send_message(reply: Reply, event: SendMessage, state: &SocketState) {
    let message = match check(event, reply.session().user_id, state) {
        Ok(message) => message,
        Err(refusal) => return reply.refuse(SendMessage::NAME, &refusal),
    };
    let sending = match ChatSession::of(reply.socket()).and_then(|session| session.begin_sending(message.id)) {
        Ok(sending) => Some(sending),
        Err(refusal) => return reply.refuse(SendMessage::NAME, &refusal),
    };
    let sender = Some(reply.socket().id);
    let acknowledge = reply.into_answer(SendMessage::NAME);
    state.writer.send(Outgoing { message, sender, acknowledge, sending, received_at: Instant::now() });
}

/// Emits to the others in the chat that the user types, or stops.
pub(crate) fn typing(reply: Reply, Typing { chat_id, is_typing }: Typing, state: &SocketState) {
    let user_id = reply.session().user_id;
    let is_in_chat = state.rooms.emit_typing(chat_id, reply.socket().id, is_typing);
    let answer = is_in_chat.then_some(UserTyping { user_id, is_typing, chat_id }).ok_or(Refusal::Forbidden);
    reply.answer(Typing::NAME, answer);
}

/// Queues a read mark.
pub(crate) fn mark_read(reply: Reply, MarkRead { chat_id, seq }: MarkRead, state: &SocketState) {
    if seq.is_some_and(|seq| seq < 0) {
        return reply.refuse(MarkRead::NAME, &Refusal::Invalid("seq must be at least 0".into()));
    }
    let (user_id, socket) = (reply.session().user_id, reply.socket().id);
    let answer = reply.into_answer(MarkRead::NAME);
    state.read_marks.mark(ReadMark { chat_id, user_id, seq, socket, answer });
}

/// Enters a chat, and catches up with it.
pub(crate) async fn join_chat(reply: Reply, JoinChat { chat_id, after_seq }: JoinChat, state: SocketState) {
    let (socket, user_id) = (reply.socket().clone(), reply.session().user_id);
    if after_seq.is_some_and(|seq| seq < 0) {
        return reply.refuse(JoinChat::NAME, &Refusal::Invalid("afterSeq must be at least 0".into()));
    }
    let resume_point = state.rooms.resume_point(chat_id, user_id);
    let begun = ChatSession::of(&socket).and_then(|session| state.rooms.begin_join(chat_id, &socket, &session));
    let pending = match begun {
        Ok(pending) => pending,
        Err(refusal) => return reply.refuse(JoinChat::NAME, &refusal),
    };
    let (joined, outcome) = match find(chat_id, after_seq, resume_point, user_id, &state).await {
        Ok(found) => found,
        Err(refusal @ (Refusal::Forbidden | Refusal::ChatClosed)) => {
            let _was_there = state.rooms.leave(chat_id, socket.id);
            return reply.refuse(JoinChat::NAME, &refusal);
        }
        Err(refusal) => {
            state.rooms.abort_join(chat_id, socket.id, pending);
            return reply.refuse(JoinChat::NAME, &refusal);
        }
    };
    let joined = EncodedEvent::new(&joined);
    let mut reply = Some(reply);
    let answer = || {
        emit(&socket, &joined);
        if let Some(reply) = reply.take() {
            reply.ok(&joined);
        }
    };
    let is_new = state.rooms.finish_join(chat_id, socket.id, outcome, answer);
    if let Some(reply) = reply {
        // The membership or the chat has ended in the meantime.
        reply.refuse(JoinChat::NAME, &Refusal::Forbidden);
    }
    if is_new == Some(true) {
        let user_joined = EncodedEvent::new(&UserJoined { user_id, chat_id });
        state.rooms.emit(chat_id, Some(socket.id), user_joined);
    }
}

/// Returns the answer to a member who joins, and where its socket stands then. Only for a socket that has a seat: what
/// is committed before this read is in it, what is committed later is delivered to the seat.
async fn find(
    chat_id: ChatId,
    after_seq: Option<i64>,
    resume_point: ResumePoint,
    user_id: UserId,
    state: &SocketState,
) -> Result<(JoinedChat, JoinOutcome), Refusal> {
    let (dropped_at_seq, silent_since) = match resume_point {
        ResumePoint::Dropped { cursor, silent_since } => (Some(cursor), silent_since),
        ResumePoint::End | ResumePoint::Unknown => (None, None),
    };
    let query = JoinQuery { after: after_seq, limit: MAX_MISSED, dropped_at_seq, silent_since };
    let found =
        state.bulkhead.run(async |direct| queries::find_for_join(direct, chat_id, user_id, query).await).await?;
    let JoinSnapshot { last_seq, is_closed, resume_after, messages } = found.ok_or(Refusal::Forbidden)?;
    if is_closed {
        return Err(Refusal::ChatClosed);
    }
    let messages = messages.into_iter().map(|message| message.with_urls(chat_id, &state.file_urls)).collect();
    let mut joined = JoinedChat { chat_id, message: "Joined chat", last_seq, messages: None, has_more: None };
    let mut outcome = JoinOutcome { cursor: None, last_seq, has_more: false };
    if let Some(after_seq) = after_seq {
        let (messages, bytes) = truncate_to_page(messages);
        state.limits.take_page(user_id, bytes)?;
        let cursor = messages.last().map_or(after_seq.min(last_seq), |message| message.seq);
        outcome = JoinOutcome { cursor: Some(cursor), last_seq, has_more: cursor < last_seq };
        joined.has_more = Some(outcome.has_more);
        joined.messages = Some(messages);
    } else if resume_point != ResumePoint::End {
        outcome.cursor = resume_after;
    }
    Ok((joined, outcome))
}

/// Truncates what was missed to a page of at most [`MAX_MISSED_BYTES`]. Returns the page and its bytes.
fn truncate_to_page(mut messages: Vec<MessageView>) -> (Vec<MessageView>, usize) {
    let (mut fits, mut bytes) = (0, 0);
    for message in &messages {
        if fits > 0 && bytes + message.message.len() > MAX_MISSED_BYTES {
            break;
        }
        bytes += message.message.len();
        fits += 1;
    }
    messages.truncate(fits);
    (messages, bytes)
}

/// Leaves a chat on purpose.
pub(crate) fn leave_chat(reply: Reply, LeaveChat { chat_id }: LeaveChat, state: &SocketState) {
    let (socket, user_id) = (reply.socket().clone(), reply.session().user_id);
    if !state.rooms.leave(chat_id, socket.id) {
        return reply.refuse(LeaveChat::NAME, &Refusal::Forbidden);
    }
    state.rooms.emit(chat_id, Some(socket.id), EncodedEvent::new(&UserLeft { user_id, chat_id }));
    let left = EncodedEvent::new(&LeftChat { chat_id, message: "Left chat" });
    emit(&socket, &left);
    reply.ok(&left);
}

fn check(message: SendMessage, sender_id: UserId, state: &SocketState) -> Result<NewMessage, Refusal> {
    let message_type = message.message_type.unwrap_or(MessageType::Text);
    let text = check_message(message.message, message_type).map_err(Refusal::Invalid)?;
    let text =
        with_references(text, message_type, message.chat_id, sender_id, &state.file_urls).map_err(Refusal::Invalid)?;
    if let Some(client_message_id) = &message.client_message_id {
        check_client_message_id(client_message_id).map_err(Refusal::Invalid)?;
    }
    Ok(NewMessage {
        id: MessageId(Uuid::now_v7()),
        chat_id: message.chat_id,
        sender_id,
        client_message_id: message.client_message_id,
        message: text,
        message_type,
    })
}
