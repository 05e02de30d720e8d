//! The chat's events: their names, and the payloads that clients send and receive.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{MessageType, MessageView};
use crate::realtime::{ClientEvent, ServerEvent};
use crate::types::{ChatId, MessageId, Timestamp, UserId};

/// `join_chat`
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JoinChat {
    pub chat_id: ChatId,
    /// The last `seq` up to which the client has no gap: the answer contains the messages after it.
    #[schema(minimum = 0)]
    pub after_seq: Option<i64>,
}

impl ClientEvent for JoinChat {
    const NAME: &'static str = "join_chat";
    type Ack = JoinedChat;
}

/// `leave_chat`
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LeaveChat {
    pub chat_id: ChatId,
}

impl ClientEvent for LeaveChat {
    const NAME: &'static str = "leave_chat";
    type Ack = LeftChat;
}

/// `send_message`
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct SendMessage {
    #[serde(rename = "chatId")]
    pub chat_id: ChatId,
    /// At most 4,000 characters: the text; of a document one http or https URL; of images one such URL, or JSON text
    /// `{"images":[url,…],"count":n}` with at most 10 of them.
    #[schema(min_length = 1, max_length = 4000)]
    pub message: String,
    /// `text` by default.
    pub message_type: Option<MessageType>,
    /// The client's own id for the message: a message sent again with the same id is stored once. With another text or
    /// type it is refused as `conflict`. At most 128 bytes.
    #[serde(rename = "clientMessageId")]
    #[schema(min_length = 1, max_length = 128)]
    pub client_message_id: Option<String>,
}

impl ClientEvent for SendMessage {
    const NAME: &'static str = "send_message";
    type Ack = MessageAck;
}

/// `typing`
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Typing {
    pub chat_id: ChatId,
    /// True when the user begins to type, false when it stops.
    pub is_typing: bool,
}

impl ClientEvent for Typing {
    const NAME: &'static str = "typing";
    type Ack = UserTyping;
}

/// `mark_read`
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MarkRead {
    pub chat_id: ChatId,
    /// The last `seq` that was read; the chat's last by default.
    #[schema(minimum = 0)]
    pub seq: Option<i64>,
}

impl ClientEvent for MarkRead {
    const NAME: &'static str = "mark_read";
    type Ack = MessagesRead;
}

/// `joined_chat`, and the acknowledgement of `join_chat`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JoinedChat {
    pub chat_id: ChatId,
    pub message: &'static str,
    /// The `seq` of the chat's last message; 0 without any.
    pub last_seq: i64,
    /// With `afterSeq`: what came after it, oldest first, at most 200.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 200)]
    pub messages: Option<Vec<MessageView>>,
    /// With `afterSeq`: whether there are more messages. If so, join again with the last `seq`: until there are no more,
    /// this socket receives no `new_message` of this chat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_more: Option<bool>,
}

impl ServerEvent for JoinedChat {
    const NAME: &'static str = "joined_chat";
}

/// `left_chat`, and the acknowledgement of `leave_chat`. Also sent when a membership ends or the chat closes.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LeftChat {
    pub chat_id: ChatId,
    pub message: &'static str,
}

impl ServerEvent for LeftChat {
    const NAME: &'static str = "left_chat";
}

/// `user_joined`, `user_left`
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UserInChat)]
pub(crate) struct UserJoined {
    pub user_id: UserId,
    pub chat_id: ChatId,
}

impl ServerEvent for UserJoined {
    const NAME: &'static str = "user_joined";
}

/// `user_joined`, `user_left`
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UserInChat)]
pub(crate) struct UserLeft {
    pub user_id: UserId,
    pub chat_id: ChatId,
}

impl ServerEvent for UserLeft {
    const NAME: &'static str = "user_left";
}

/// The acknowledgement of `send_message`, once the message is committed.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct MessageAck {
    pub id: MessageId,
    /// The position in the chat.
    pub seq: i64,
    /// When it was committed.
    pub created_at: Timestamp,
}

/// `new_message`. Not sent to the socket that sent the message: that one receives the acknowledgement alone.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NewMessageEvent {
    #[serde(rename = "chatId")]
    pub chat_id: ChatId,
    #[serde(flatten)]
    pub message: MessageView,
}

impl ServerEvent for NewMessageEvent {
    const NAME: &'static str = "new_message";
}

/// `user_typing`, and the acknowledgement of `typing`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserTyping {
    pub user_id: UserId,
    /// True when the user begins to type, false when it stops.
    pub is_typing: bool,
    pub chat_id: ChatId,
}

impl ServerEvent for UserTyping {
    const NAME: &'static str = "user_typing";
}

/// `messages_read`, and the acknowledgement of `mark_read`.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessagesRead {
    pub user_id: UserId,
    pub chat_id: ChatId,
    /// The highest `seq` that this member has ever marked as read.
    pub seq: i64,
}

impl ServerEvent for MessagesRead {
    const NAME: &'static str = "messages_read";
}

/// `lsm_joined`
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LsmJoined {
    pub chat_id: ChatId,
    pub lsm_id: i64,
    /// First and last name.
    pub lsm_name: String,
    pub message: &'static str,
}

impl ServerEvent for LsmJoined {
    const NAME: &'static str = "lsm_joined";
}

/// `presence`
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PresenceView {
    pub user_id: UserId,
    /// Whether the user is connected.
    pub online: bool,
    /// When the user was last seen; null while online.
    pub last_seen: Option<Timestamp>,
}

impl ServerEvent for PresenceView {
    const NAME: &'static str = "presence";
}
