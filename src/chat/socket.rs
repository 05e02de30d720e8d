//! The chat's events: join, leave, send, typing.

use serde::{Deserialize, Serialize};
use socketioxide::ParserError;
use socketioxide::extract::{SocketRef, State, TryData};
use tokio::time::Instant;
use uuid::Uuid;

use super::types::{check_client_message_id, check_message};
use super::{ChatId, MessageId, MessageType, MessageView, NewMessage, queries};
use crate::auth::UserId;
use crate::realtime::reply::{Refusal, Reply};
use crate::realtime::writer::{Outgoing, SEND_MESSAGE};
use crate::realtime::{SocketState, SocketUser, deliver, rooms};

pub use queries::is_allowed_in;

/// The most messages that catching up gives at a time.
const MAX_MISSED: i64 = 200;

/// Makes a socket listen to the chat's events.
pub fn listen(socket: &SocketRef) {
    socket.on("join_chat", async |reply: Reply, data: TryData<JoinChat>, state: State<SocketState>| {
        answer("join_chat", reply, join_chat, data, state).await;
    });
    socket.on("leave_chat", async |reply: Reply, data: TryData<LeaveChat>, state: State<SocketState>| {
        answer("leave_chat", reply, leave_chat, data, state).await;
    });
    socket.on("typing", async |reply: Reply, data: TryData<Typing>, state: State<SocketState>| {
        answer("typing", reply, typing, data, state).await;
    });
    // Not an async closure: its body runs where the socket's packets are read, one after the other, whereas
    // futures run in tasks of their own that overtake each other. So messages are queued in the order sent.
    socket.on(SEND_MESSAGE, |reply: Reply, data: TryData<SendMessage>, State(state): State<SocketState>| {
        match valid(data).and_then(|data| data.check(reply.socket())) {
            Ok(message) => state.writer.send(Outgoing { message, reply, received_at: Instant::now() }),
            Err(refusal) => reply.refuse(SEND_MESSAGE, &refusal),
        }
        std::future::ready(())
    });
}

/// Runs a handler and answers its event.
async fn answer<D, R: Serialize>(
    event: &str,
    reply: Reply,
    handler: impl AsyncFn(SocketRef, D, &SocketState) -> Result<R, Refusal>,
    data: TryData<D>,
    State(state): State<SocketState>,
) {
    let handled = match valid(data) {
        Ok(data) => handler(reply.socket().clone(), data, &state).await,
        Err(refusal) => Err(refusal),
    };
    match handled {
        Ok(payload) => reply.ok(&payload),
        Err(refusal) => reply.refuse(event, &refusal),
    }
}

fn valid<D>(TryData(data): TryData<D>) -> Result<D, Refusal> {
    data.map_err(|error: ParserError| Refusal::Invalid(format!("the payload is not valid: {error}")))
}

fn user_of(socket: &SocketRef) -> Result<UserId, Refusal> {
    socket.extensions.get::<SocketUser>().map(|user| user.id).ok_or(Refusal::Forbidden)
}

fn is_in_room(socket: &SocketRef, chat: ChatId) -> bool {
    let room = rooms::chat(chat);
    socket.rooms().iter().any(|joined| *joined == room)
}

/// `join_chat`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JoinChat {
    chat_id: ChatId,
    after_seq: Option<i64>,
}

/// `joined_chat`, and the acknowledgement of `join_chat`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct JoinedChat {
    chat_id: ChatId,
    message: &'static str,
    last_seq: i64,
    /// With `afterSeq`: what came after it, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<MessageView>>,
    /// With `afterSeq`: is there more? Join again with the last `seq`.
    #[serde(skip_serializing_if = "Option::is_none")]
    has_more: Option<bool>,
}

/// `user_joined`, `user_left`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct UserInChat {
    user_id: UserId,
    chat_id: ChatId,
}

/// First the room, then the reading: what is committed before the reading is in it, what is committed
/// later is emitted to the room. Between the two a message may come both ways; its `seq` tells.
async fn join_chat(socket: SocketRef, data: JoinChat, state: &SocketState) -> Result<JoinedChat, Refusal> {
    let JoinChat { chat_id, after_seq } = data;
    if after_seq.is_some_and(|seq| seq < 0) {
        return Err(Refusal::Invalid("afterSeq must be at least 0".into()));
    }
    let user_id = user_of(&socket)?;
    if !state.reading(queries::is_member(&state.direct, chat_id, user_id)).await? {
        return Err(Refusal::Forbidden);
    }
    let is_new_here = !is_in_room(&socket, chat_id);
    socket.join(rooms::chat(chat_id));
    if !socket.connected() {
        // It went away in between, and nobody else would take it out of the room again.
        socket.leave_all();
        return Err(Refusal::Unavailable);
    }

    let last_seq = state.reading(queries::last_seq(&state.direct, chat_id)).await?;
    let mut joined = JoinedChat { chat_id, message: "Joined chat", last_seq, messages: None, has_more: None };
    if let Some(after_seq) = after_seq {
        let missed = queries::list_missed(&state.direct, chat_id, after_seq, MAX_MISSED);
        let messages = state.reading(missed).await?;
        let last_read = messages.last().map_or(after_seq, |message| message.seq);
        joined.last_seq = last_seq.max(messages.last().map_or(0, |message| message.seq));
        joined.has_more = Some(last_read < last_seq);
        joined.messages = Some(messages);
    }
    emit(&socket, "joined_chat", &joined);
    if is_new_here {
        deliver(socket.to(rooms::chat(chat_id)), "user_joined", &UserInChat { user_id, chat_id });
    }
    Ok(joined)
}

/// `leave_chat`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LeaveChat {
    chat_id: ChatId,
}

/// `left_chat`, and the acknowledgement of `leave_chat`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LeftChat {
    chat_id: ChatId,
    message: &'static str,
}

async fn leave_chat(
    socket: SocketRef,
    LeaveChat { chat_id }: LeaveChat,
    _state: &SocketState,
) -> Result<LeftChat, Refusal> {
    let user_id = user_of(&socket)?;
    if !is_in_room(&socket, chat_id) {
        return Err(Refusal::Forbidden);
    }
    deliver(socket.to(rooms::chat(chat_id)), "user_left", &UserInChat { user_id, chat_id });
    socket.leave(rooms::chat(chat_id));
    let left = LeftChat { chat_id, message: "Left chat" };
    emit(&socket, "left_chat", &left);
    Ok(left)
}

/// `typing`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Typing {
    chat_id: ChatId,
    is_typing: bool,
}

/// `user_typing`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct UserTyping {
    user_id: UserId,
    is_typing: bool,
    chat_id: ChatId,
}

/// Only the latest counts, so it may be lost: a slow reader's buffer is for messages.
async fn typing(
    socket: SocketRef,
    Typing { chat_id, is_typing }: Typing,
    _state: &SocketState,
) -> Result<UserTyping, Refusal> {
    let user_id = user_of(&socket)?;
    if !is_in_room(&socket, chat_id) {
        return Err(Refusal::Forbidden);
    }
    let typing = UserTyping { user_id, is_typing, chat_id };
    deliver(socket.to(rooms::chat(chat_id)).volatile(), "user_typing", &typing);
    Ok(typing)
}

/// `send_message`
#[derive(Debug, Deserialize)]
struct SendMessage {
    #[serde(rename = "chatId")]
    chat_id: ChatId,
    message: String,
    message_type: Option<MessageType>,
    #[serde(rename = "clientMessageId")]
    client_message_id: Option<String>,
}

impl SendMessage {
    fn check(self, socket: &SocketRef) -> Result<NewMessage, Refusal> {
        let message_type = self.message_type.unwrap_or(MessageType::Text);
        check_message(&self.message, message_type).map_err(Refusal::Invalid)?;
        if let Some(client_message_id) = &self.client_message_id {
            check_client_message_id(client_message_id).map_err(Refusal::Invalid)?;
        }
        Ok(NewMessage {
            id: MessageId(Uuid::now_v7()),
            chat_id: self.chat_id,
            sender_id: user_of(socket)?,
            client_message_id: self.client_message_id,
            message: self.message,
            message_type,
        })
    }
}

fn emit(socket: &SocketRef, event: &str, payload: &impl Serialize) {
    if let Err(error) = socket.emit(event, payload) {
        tracing::debug!(event, %error, "not delivered");
    }
}
