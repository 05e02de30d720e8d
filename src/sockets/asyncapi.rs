//! The AsyncAPI 3 document of the namespace: every event that clients send and receive, made from the payloads' own
//! types. <https://www.asyncapi.com/docs/reference/specification/v3.0.0>

use std::collections::BTreeMap;

use axum::Router;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::NAMESPACE;
use super::handshake::Connected;
use super::lifetime::{Authenticate, TokenExpiring};
use crate::chat::events::{
    JoinChat, JoinedChat, LeaveChat, LeftChat, LsmJoined, MarkRead, MessagesRead, NewMessageEvent, PresenceView,
    SendMessage, Typing, UserJoined, UserLeft, UserTyping,
};
use crate::jobs::offers::{NegotiationOfferSent, NegotiationResponse, RespondSocketRequest, SendOfferSocketRequest};
use crate::notifications::NotificationCreated;
use crate::realtime::{AckError, ClientEvent, ErrorEvent, ServerEvent};
use crate::web::docs;

/// The document, as the specification orders its members.
#[derive(Debug, Serialize)]
struct Document {
    asyncapi: &'static str,
    info: Value,
    #[serde(rename = "defaultContentType")]
    default_content_type: &'static str,
    servers: Value,
    channels: Value,
    operations: Map<String, Value>,
    components: Components,
}

#[derive(Debug, Default, Serialize)]
struct Components {
    messages: BTreeMap<String, Value>,
    schemas: BTreeMap<String, Value>,
    #[serde(rename = "securitySchemes")]
    security_schemes: Value,
}

/// Collects events.
#[derive(Default)]
struct Events {
    operations: Map<String, Value>,
    components: Components,
}

impl Events {
    /// Adds a schema and those that it refers to. Returns the reference to it.
    fn schema<T: ToSchema>(&mut self) -> Value {
        let mut schemas = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut schemas);
        for (name, schema) in schemas {
            let schema = json!(schema);
            let known = self.components.schemas.insert(name.clone(), schema.clone());
            debug_assert!(known.is_none_or(|known| known == schema), "two schemas are named {name}");
        }
        json!({"$ref": format!("#/components/schemas/{}", T::name())})
    }

    fn message<T: ToSchema>(&mut self, key: &str, event: &str, title: &str) {
        let payload = self.schema::<T>();
        self.components.messages.insert(key.to_owned(), json!({"name": event, "title": title, "payload": payload}));
    }

    /// Adds an event that clients send, and its acknowledgement.
    fn received<E: ClientEvent<Ack: ToSchema> + ToSchema>(&mut self, summary: &str) {
        let event = E::NAME;
        self.message::<E>(event, event, summary);
        let ack = format!("{event}_ack");
        self.message::<E::Ack>(&ack, event, &format!("Acknowledgement of {event}"));
        self.operations.insert(
            event.to_owned(),
            json!({
                "action": "receive", "summary": summary, "channel": {"$ref": "#/channels/chat"},
                "messages": [in_channel(event)],
                "reply": {"channel": {"$ref": "#/channels/chat"}, "messages": [in_channel(&ack), in_channel("refused_ack")]},
            }),
        );
    }

    /// Adds an event that clients receive.
    fn sent<E: ServerEvent + ToSchema>(&mut self, summary: &str) {
        let event = E::NAME;
        self.message::<E>(event, event, summary);
        self.operations.insert(
            event.to_owned(),
            json!({
                "action": "send", "summary": summary, "channel": {"$ref": "#/channels/chat"},
                "messages": [in_channel(event)],
            }),
        );
    }
}

fn in_channel(message: &str) -> Value {
    json!({"$ref": format!("#/channels/chat/messages/{message}")})
}

/// Builds the document.
#[must_use]
pub fn document() -> Value {
    let mut events = Events::default();
    events.received::<JoinChat>("Joins a chat, and returns the missed messages");
    events.received::<LeaveChat>("Leaves a chat");
    events.received::<SendMessage>("Sends a message; acknowledged once it is committed, and not echoed to this socket");
    events.received::<Typing>("Notifies the others in the chat that the user types, or has stopped");
    events.received::<MarkRead>("Marks a chat as read, up to a message");
    events.received::<SendOfferSocketRequest>(
        "Offers other terms for a new job: the same as POST /chat/negotiation/send-offer",
    );
    events.received::<RespondSocketRequest>(
        "Answers the other party's open offer: the same as POST /chat/negotiation/respond",
    );
    events.received::<Authenticate>("Gives the connection a new access token before the old one expires");
    events.message::<AckError>("refused_ack", ErrorEvent::NAME, "Acknowledgement of an event that is refused");
    events.sent::<Connected>("The connection is ready");
    events.sent::<JoinedChat>("The socket has entered a chat: the same as the acknowledgement");
    events.sent::<LeftChat>("The socket is no longer in a chat");
    events.sent::<UserJoined>("Somebody has entered a chat that the socket is in");
    events.sent::<UserLeft>("Somebody has left a chat that the socket is in");
    events.sent::<NewMessageEvent>("A message was committed; emitted in the order of `seq`, each once, to all sockets in the chat but the one that sent it");
    events.sent::<UserTyping>("Somebody types, or has stopped");
    events.sent::<MessagesRead>("Somebody has read a chat, up to a message");
    events.sent::<NegotiationOfferSent>("A party has offered other terms for the chat's job");
    events.sent::<NegotiationResponse>("A party has answered the other's offer");
    events.sent::<LsmJoined>("A local service manager has become a member of the chat");
    events.sent::<NotificationCreated>("The user has a new notification");
    events.sent::<PresenceView>("Somebody who shares a chat with the user came online or went offline");
    events.sent::<TokenExpiring>("The token of the connection expires in two minutes, and names no login");
    events.sent::<ErrorEvent>("An event without acknowledgement is refused, or the server is about to disconnect");
    let Events { operations, mut components } = events;
    components.security_schemes = json!({
        "access_token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "Sent as `auth: {token}` when connecting, or in the Authorization header"},
    });
    let in_components =
        |message: &String| (message.clone(), json!({"$ref": format!("#/components/messages/{message}")}));
    let messages: Map<_, _> = components.messages.keys().map(in_components).collect();
    let document = Document {
        asyncapi: "3.0.0",
        info: json!({
            "title": "STM Backend chat", "version": env!("CARGO_PKG_VERSION"),
            "description": "Live chat over Socket.IO (protocol 5): path `/socket.io`, namespace `/chat`, websocket or polling. \
                A bad token is a `connect_error` whose message begins with `unauthorized`. A connection whose token names a login (`sid`) \
                lives as long as that login, and may open with a token that has expired (SOCKET_TOKEN_GRACE_S); any other ends with its token. A message is committed before it is acknowledged; \
                the same `clientMessageId` again receives the same acknowledgement. `seq` counts 1, 2, 3… in each chat without gaps: \
                apply a message only if it is the next one, and join again with `afterSeq` on a gap or after a reconnect. \
                The socket that sends a message receives it only as the acknowledgement, whose `seq` counts as received; the sender's other sockets \
                receive `new_message`. A message that the service writes for somebody, about an offer for example, reaches that user's sockets too. \
                Limits: a message has at most 4,000 characters and 10 images, a `clientMessageId` 128 bytes, an event 65,536 bytes; larger ones \
                are refused as `invalid` with the limit, and beyond 262,144 bytes the connection is closed.",
        }),
        default_content_type: "application/json",
        servers: json!({
            "local": {"host": "127.0.0.1:8000", "pathname": "/socket.io", "protocol": "socketio",
                "security": [{"$ref": "#/components/securitySchemes/access_token"}]},
        }),
        channels: json!({"chat": {"address": NAMESPACE, "messages": messages}}),
        operations,
        components,
    };
    json!(document)
}

/// Serves `/asyncapi.json`.
pub fn routes() -> Router {
    docs::serve("/asyncapi.json", &document())
}
