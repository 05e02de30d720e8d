//! The names of rooms. They are made here from ids, never from what a client sent, so that no event can
//! address a room by a name that a client made up.

use std::collections::HashSet;

use socketioxide::operators::BroadcastOperators;

use super::SocketUser;
use crate::auth::UserId;
use crate::chat::ChatId;

/// All sockets of a user.
#[must_use]
pub fn user(id: UserId) -> String {
    format!("user:{id}")
}

/// The sockets that have joined a chat.
#[must_use]
pub fn chat(id: ChatId) -> String {
    format!("chat:{id}")
}

/// Who is in a room of this process.
#[must_use]
pub fn users_in(room: BroadcastOperators) -> HashSet<UserId> {
    room.sockets().iter().filter_map(|socket| socket.extensions.get::<SocketUser>()).map(|user| user.id).collect()
}
