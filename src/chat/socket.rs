//! The chat's events: join, leave, send, typing, read.

use std::future::ready;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use socketioxide::ParserError;
use socketioxide::extract::{SocketRef, State, TryData};
use tokio::time::Instant;
use uuid::Uuid;

use super::events::{JoinChat, JoinedChat, LeaveChat, LeftChat, MarkRead, SendMessage, Typing, UserInChat, UserTyping};
use super::live::{self, Found};
use super::types::{check_client_message_id, check_message};
use super::{MessageType, MessageView, NewMessage};
use crate::realtime::reads::Mark;
use crate::realtime::reply::{Refusal, Reply};
use crate::realtime::rooms::{Past, Settled};
use crate::realtime::session::Session;
use crate::realtime::writer::Outgoing;
use crate::realtime::{Encoded, emit};
use crate::state::SocketState;
use crate::types::{ChatId, MessageId, UserId};

/// The most messages, and bytes of text, that catching up gives at a time.
const MAX_MISSED: i64 = 200;
const MAX_MISSED_BYTES: usize = 128 * 1024;

/// Makes a socket listen to the chat's events.
///
/// None of these closures is async: their bodies run where the socket's packets are read, one after the other,
/// whereas futures run in tasks of their own that overtake each other. So events take effect in the order sent.
pub fn listen(socket: &SocketRef) {
    on(socket, "send_message", |reply, data, state| {
        match check(data, reply.session().user_id) {
            Ok(message) => send(message, reply, &state),
            Err(refusal) => reply.refuse("send_message", &refusal),
        }
        ready(()).boxed()
    });
    on(socket, "typing", |reply, Typing { chat_id, is_typing }, state| {
        let user_id = reply.session().user_id;
        let is_told = state.rooms.tell_typing(chat_id, reply.socket().id, is_typing);
        let answer = is_told.then_some(UserTyping { user_id, is_typing, chat_id }).ok_or(Refusal::Forbidden);
        reply.answer("typing", answer);
        ready(()).boxed()
    });
    on(socket, "mark_read", |reply, MarkRead { chat_id, seq }, state| {
        if seq.is_some_and(|seq| seq < 0) {
            reply.refuse("mark_read", &Refusal::Invalid("seq must be at least 0".into()));
        } else {
            let (user_id, socket) = (reply.session().user_id, reply.socket().id);
            let answer = Box::new(move |answer| reply.answer("mark_read", answer));
            state.reads.mark(Mark { chat_id, user_id, seq, socket, answer });
        }
        ready(()).boxed()
    });
    on(socket, "join_chat", |reply, data, state| {
        in_turn("join_chat", reply, |reply| join_chat(reply, data, state).boxed())
    });
    on(socket, "leave_chat", |reply, data, state| {
        in_turn("leave_chat", reply, |reply| async move { leave_chat(reply, &data, &state) }.boxed())
    });
}

/// Hears one kind of event.
pub fn on<D: DeserializeOwned + Send + Sync + 'static>(
    socket: &SocketRef,
    event: &'static str,
    heard: impl Fn(Reply, D, SocketState) -> BoxFuture<'static, ()> + Clone + Send + Sync + 'static,
) {
    socket.on(event, move |reply: Reply, TryData(data): TryData<D>, State(state): State<SocketState>| {
        let Some(reply) = state.hear(event, reply) else { return ready(()).boxed() };
        match data {
            Ok(data) => heard(reply, data, state),
            Err(error) => {
                let error: ParserError = error;
                reply.refuse(event, &Refusal::Invalid(format!("the payload is not valid: {error}")));
                ready(()).boxed()
            }
        }
    });
}

/// Handles an event after those before it of the same socket.
pub fn in_turn(
    event: &'static str,
    reply: Reply,
    handle: impl FnOnce(Reply) -> BoxFuture<'static, ()>,
) -> BoxFuture<'static, ()> {
    let session = reply.session().clone();
    match session.check_turns() {
        Ok(()) => session.in_turn(handle(reply)),
        Err(refusal) => {
            reply.refuse(event, &refusal);
            ready(()).boxed()
        }
    }
}

async fn join_chat(reply: Reply, JoinChat { chat_id, after_seq }: JoinChat, state: SocketState) {
    let (socket, session) = (reply.socket().clone(), reply.session().clone());
    if after_seq.is_some_and(|seq| seq < 0) {
        return reply.refuse("join_chat", &Refusal::Invalid("afterSeq must be at least 0".into()));
    }
    let past = state.rooms.past(chat_id, session.user_id);
    let entered = match state.rooms.enter(chat_id, &socket, &session) {
        Ok(entered) => entered,
        Err(refusal) => return reply.refuse("join_chat", &refusal),
    };
    let (joined, settled) = match find(chat_id, after_seq, past, &session, &state).await {
        Ok(found) => found,
        Err(refusal @ (Refusal::Forbidden | Refusal::ChatClosed)) => {
            let _was_there = state.rooms.leave(chat_id, socket.id);
            return reply.refuse("join_chat", &refusal);
        }
        Err(refusal) => {
            state.rooms.unsettle(chat_id, socket.id, entered);
            return reply.refuse("join_chat", &refusal);
        }
    };
    let joined = Encoded::new(&joined);
    let mut reply = Some(reply);
    let answer = || {
        emit(&socket, "joined_chat", &joined);
        if let Some(reply) = reply.take() {
            reply.ok(&joined);
        }
    };
    let is_new = state.rooms.settle(chat_id, socket.id, settled, answer);
    if let Some(reply) = reply {
        // The membership or the chat has ended meanwhile.
        reply.refuse("join_chat", &Refusal::Forbidden);
    }
    if is_new == Some(true) {
        let user = UserInChat { user_id: session.user_id, chat_id };
        state.rooms.tell(chat_id, Some(socket.id), "user_joined", &user);
    }
}

/// What a member who joins is told, and where its socket stands then. Only for a socket that has a seat: what is
/// committed before this reading is in it, what is committed later is delivered to the seat.
async fn find(
    chat_id: ChatId,
    after_seq: Option<i64>,
    past: Past,
    session: &Session,
    state: &SocketState,
) -> Result<(JoinedChat, Settled), Refusal> {
    let (dropped_at_seq, silent_since) = match past {
        Past::Dropped { cursor, silent_since } => (Some(cursor), silent_since),
        Past::Nothing | Past::Unknown => (None, None),
    };
    let reading = live::Reading { after: after_seq, limit: MAX_MISSED, dropped_at_seq, silent_since };
    let user_id = session.user_id;
    let found =
        state.readings.run(async |direct| live::find_for_joining(direct, chat_id, user_id, reading).await).await?;
    let Found { last_seq, is_closed, resume_after, messages } = found.ok_or(Refusal::Forbidden)?;
    if is_closed {
        return Err(Refusal::ChatClosed);
    }
    let mut joined = JoinedChat { chat_id, message: "Joined chat", last_seq, messages: None, has_more: None };
    let mut settled = Settled { cursor: None, last_seq, has_more: false };
    if let Some(after_seq) = after_seq {
        let (messages, bytes) = page(messages);
        state.limits.take_page(user_id, bytes)?;
        let cursor = messages.last().map_or(after_seq.min(last_seq), |message| message.seq);
        settled = Settled { cursor: Some(cursor), last_seq, has_more: cursor < last_seq };
        joined.has_more = Some(settled.has_more);
        joined.messages = Some(messages);
    } else if past != Past::Nothing {
        settled.cursor = resume_after;
    }
    Ok((joined, settled))
}

/// Cuts what was missed to a page of at most [`MAX_MISSED_BYTES`], and says how many bytes it has.
fn page(mut messages: Vec<MessageView>) -> (Vec<MessageView>, usize) {
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

fn leave_chat(reply: Reply, &LeaveChat { chat_id }: &LeaveChat, state: &SocketState) {
    let (socket, user_id) = (reply.socket().clone(), reply.session().user_id);
    if !state.rooms.leave(chat_id, socket.id) {
        return reply.refuse("leave_chat", &Refusal::Forbidden);
    }
    state.rooms.tell(chat_id, Some(socket.id), "user_left", &UserInChat { user_id, chat_id });
    let left = Encoded::new(&LeftChat { chat_id, message: "Left chat" });
    emit(&socket, "left_chat", &left);
    reply.ok(&left);
}

/// Queues a message for its writer.
fn send(message: NewMessage, reply: Reply, state: &SocketState) {
    let sending = match reply.session().begin_sending(message.id) {
        Ok(sending) => Some(sending),
        Err(refusal) => return reply.refuse("send_message", &refusal),
    };
    let sender = Some(reply.socket().id);
    let answer = Box::new(move |answer| reply.answer("send_message", answer));
    state.writer.send(Outgoing { message, sender, answer, sending, received_at: Instant::now() });
}

fn check(message: SendMessage, sender_id: UserId) -> Result<NewMessage, Refusal> {
    let message_type = message.message_type.unwrap_or(MessageType::Text);
    check_message(&message.message, message_type).map_err(Refusal::Invalid)?;
    if let Some(client_message_id) = &message.client_message_id {
        check_client_message_id(client_message_id).map_err(Refusal::Invalid)?;
    }
    Ok(NewMessage {
        id: MessageId(Uuid::now_v7()),
        chat_id: message.chat_id,
        sender_id,
        client_message_id: message.client_message_id,
        message: message.message,
        message_type,
    })
}
