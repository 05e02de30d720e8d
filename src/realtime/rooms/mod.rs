//! Which sockets of this process are in which chat, and what each of them has been given.
//!
//! A socket in a chat has a *cursor*, the `seq` up to which it has everything. A message is emitted to it only
//! if it is the next one: so none comes twice, none out of order, and none is skipped. A socket that is behind
//! (its buffer was full, or it has just come back) is fed from the database until it has caught up. While it
//! reads for itself, page by page, it is given nothing.
//!
//! Chats are named by their ids alone, so that no event can address a room by a name that a client made up.

mod delivery;
mod whereabouts;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::Utc;
use serde::Serialize;
use socketioxide::extract::SocketRef;
use socketioxide::socket::{DisconnectReason, Sid};
use tokio::time::Instant;

use super::readings::Readings;
use super::reply::Refusal;
use super::session::{Session, lock};
use super::{Encoded, HEARTBEAT_MARGIN, emit};
use crate::chat::events::{LeftChat, UserInChat, UserTyping};
use crate::config::Heartbeat;
use crate::types::{ChatId, UserId};
pub use delivery::Fresh;
use whereabouts::Parting;
pub use whereabouts::{Past, Record, Whereabouts};

/// So many locks share the chats.
const SHARDS: usize = 16;

/// How often `user_typing` may say the same of one socket.
const TYPING_EVERY: Duration = Duration::from_secs(1);

/// The chats of this process. Cheap to clone.
#[derive(Clone)]
pub struct Rooms(Arc<Inner>);

struct Inner {
    shards: [Mutex<HashMap<ChatId, Room>>; SHARDS],
    partings: Mutex<HashMap<(ChatId, UserId), Parting>>,
    readings: Readings,
    /// How long a dead connection can go unnoticed.
    unnoticed: Duration,
}

/// A chat with sockets in it.
#[derive(Default)]
struct Room {
    /// The highest `seq` known here.
    top: i64,
    seats: HashMap<Sid, Seat>,
    /// Is a task feeding those who are behind?
    is_feeding: bool,
}

/// A socket in a chat.
struct Seat {
    socket: SocketRef,
    session: Arc<Session>,
    /// It has everything up to this `seq`.
    cursor: i64,
    /// Its own messages beyond the cursor: acknowledged, so not emitted to it.
    own: VecDeque<i64>,
    state: State,
    /// Was its joining answered? Until then it is in the chat for nobody.
    has_joined: bool,
    /// When `user_typing` was last emitted for it, and whether it said true.
    typing: Option<(Instant, bool)>,
    /// The cursor as the database knows it.
    recorded: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Reads for itself: nothing is emitted.
    Reading,
    /// Is fed from the database, from this moment on.
    Behind(Instant),
    /// Is given messages as they are committed.
    Live,
}

/// How a socket took its seat.
#[derive(Debug, Clone, Copy)]
pub struct Entered {
    was_reading: bool,
}

/// Where a socket stands after its joining is answered.
#[derive(Debug, Clone, Copy)]
pub struct Settled {
    /// It has everything up to this `seq`; `None`: nothing is known of it, and it wants nothing older.
    pub cursor: Option<i64>,
    /// The chat's last message.
    pub last_seq: i64,
    /// Does it go on reading for itself?
    pub has_more: bool,
}

impl std::fmt::Debug for Rooms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rooms")
    }
}

impl Rooms {
    /// No chats yet.
    #[must_use]
    pub fn new(readings: Readings, heartbeat: Heartbeat) -> Self {
        let unnoticed = heartbeat.interval + heartbeat.timeout + HEARTBEAT_MARGIN;
        Self(Arc::new(Inner { shards: Default::default(), partings: Mutex::default(), readings, unnoticed }))
    }

    fn shard(&self, chat: ChatId) -> &Mutex<HashMap<ChatId, Room>> {
        &self.0.shards[usize::from(chat.0.as_bytes()[15]) % SHARDS]
    }

    /// Gives a socket a seat before anything is read for it, so that what is committed meanwhile is not missed.
    /// One that has a seat already is given nothing until [`settle`](Self::settle).
    ///
    /// # Errors
    /// [`Refusal::Invalid`] if it is in too many chats.
    pub fn enter(&self, chat: ChatId, socket: &SocketRef, session: &Arc<Session>) -> Result<Entered, Refusal> {
        let mut rooms = lock(self.shard(chat));
        session.note_chat(chat)?;
        let seat = rooms.entry(chat).or_default().seats.entry(socket.id).or_insert_with(|| Seat {
            socket: socket.clone(),
            session: session.clone(),
            cursor: 0,
            own: VecDeque::new(),
            state: State::Reading,
            has_joined: false,
            typing: None,
            recorded: None,
        });
        let was_reading = std::mem::replace(&mut seat.state, State::Reading) == State::Reading;
        Ok(Entered { was_reading })
    }

    /// Answers a socket's joining, and begins to give it messages right after `settled.cursor`; in one step, so
    /// that the answer comes before them. `None`: it has lost its seat meanwhile. Otherwise: is it new in the chat?
    pub fn settle(&self, chat: ChatId, socket: Sid, settled: Settled, answer: impl FnOnce()) -> Option<bool> {
        let mut rooms = lock(self.shard(chat));
        let room = rooms.get_mut(&chat)?;
        let seat = room.seats.get_mut(&socket)?;
        answer();
        room.top = room.top.max(settled.last_seq);
        seat.cursor = match settled.cursor {
            Some(cursor) => cursor,
            // Joining again without a cursor changes nothing for who is there.
            None if seat.has_joined => seat.cursor,
            None => settled.last_seq,
        };
        seat.state = if settled.has_more { State::Reading } else { seat.state_at(room.top) };
        let is_new = !std::mem::replace(&mut seat.has_joined, true);
        lock(&self.0.partings).remove(&(chat, seat.session.user_id));
        self.feed_if_behind(chat, room);
        Some(is_new)
    }

    /// A joining could not be carried out: a socket that was in the chat before goes on as before.
    pub fn unsettle(&self, chat: ChatId, socket: Sid, entered: Entered) {
        let mut rooms = lock(self.shard(chat));
        let Some(room) = rooms.get_mut(&chat) else { return };
        match room.seats.get_mut(&socket) {
            Some(seat) if seat.has_joined => {
                seat.state = if entered.was_reading { State::Reading } else { seat.state_at(room.top) };
                self.feed_if_behind(chat, room);
            }
            _ => drop(remove(&mut rooms, chat, socket)),
        }
    }

    /// A socket leaves a chat on purpose. Was it there?
    #[must_use]
    pub fn leave(&self, chat: ChatId, socket: Sid) -> bool {
        let mut rooms = lock(self.shard(chat));
        let Some((seat, is_last)) = remove(&mut rooms, chat, socket) else { return false };
        if is_last && seat.has_joined {
            self.part(chat, &seat, None, true);
        }
        seat.has_joined
    }

    /// A socket has gone.
    pub fn drop_out(&self, socket: Sid, session: &Session, reason: DisconnectReason) {
        // What was emitted to a connection that had died unnoticed is lost.
        let silent_since = (reason == DisconnectReason::HeartbeatTimeout).then(|| Utc::now() - self.0.unnoticed);
        for chat in session.take_chats() {
            if let Some((seat, true)) = remove(&mut lock(self.shard(chat)), chat, socket)
                && seat.has_joined
            {
                self.part(chat, &seat, silent_since, false);
            }
        }
    }

    /// Who is in the chat.
    #[must_use]
    pub fn users_in(&self, chat: ChatId) -> HashSet<UserId> {
        lock(self.shard(chat)).get(&chat).map(Room::users).unwrap_or_default()
    }

    /// Takes a user who is not a member any more out of a chat, and tells both sides.
    pub fn evict(&self, chat: ChatId, user: UserId) {
        let mut rooms = lock(self.shard(chat));
        let Some(room) = rooms.get_mut(&chat) else { return };
        let out: Vec<_> = room.seats.extract_if(|_, seat| seat.session.user_id == user).map(|(_, seat)| seat).collect();
        let told = Encoded::new(&LeftChat { chat_id: chat, message: "You are not a member of this chat any more" });
        for seat in &out {
            seat.turn_out(chat, &told);
        }
        if out.iter().any(|seat| seat.has_joined) {
            let told = Encoded::new(&UserInChat { user_id: user, chat_id: chat });
            room.joined().for_each(|seat| emit(&seat.socket, "user_left", &told));
        }
        if room.seats.is_empty() {
            rooms.remove(&chat);
        }
    }

    /// Takes everybody out of a closed chat.
    pub fn close(&self, chat: ChatId) {
        let Some(room) = lock(self.shard(chat)).remove(&chat) else { return };
        let told = Encoded::new(&LeftChat { chat_id: chat, message: "This chat is closed" });
        room.seats.values().for_each(|seat| seat.turn_out(chat, &told));
    }

    /// Emits to everybody in the chat but `except`.
    pub fn tell(&self, chat: ChatId, except: Option<Sid>, event: &str, payload: &impl Serialize) {
        let rooms = lock(self.shard(chat));
        let Some(room) = rooms.get(&chat) else { return };
        let payload = Encoded::new(payload);
        room.others(except).for_each(|seat| emit(&seat.socket, event, &payload));
    }

    /// Tells the others that somebody types, or no longer does; not too often. `false`: not in this chat.
    ///
    /// Only the latest counts, so it may be lost: a slow reader's buffer is for messages.
    #[must_use]
    pub fn tell_typing(&self, chat: ChatId, socket: Sid, is_typing: bool) -> bool {
        let mut rooms = lock(self.shard(chat));
        let Some(room) = rooms.get_mut(&chat) else { return false };
        let Some(seat) = room.seats.get_mut(&socket).filter(|seat| seat.has_joined) else { return false };
        let is_news = match seat.typing {
            Some((at, true)) => !is_typing || at.elapsed() >= TYPING_EVERY,
            Some((at, false)) => is_typing && at.elapsed() >= TYPING_EVERY,
            None => true,
        };
        if is_news {
            seat.typing = Some((Instant::now(), is_typing));
            let typing = Encoded::new(&UserTyping { user_id: seat.session.user_id, is_typing, chat_id: chat });
            for seat in room.others(Some(socket)) {
                let _lost = seat.socket.volatile().emit("user_typing", &typing);
            }
        }
        true
    }

    /// Who is where, or about to be, to be checked against the database.
    #[must_use]
    pub fn members(&self) -> Vec<(ChatId, UserId)> {
        let mut members = HashSet::new();
        for shard in &self.0.shards {
            for (&chat, room) in &*lock(shard) {
                members.extend(room.seats.values().map(|seat| (chat, seat.session.user_id)));
            }
        }
        members.into_iter().collect()
    }
}

impl Room {
    fn joined(&self) -> impl Iterator<Item = &Seat> {
        self.seats.values().filter(|seat| seat.has_joined && !seat.session.has_ended())
    }

    fn others(&self, except: Option<Sid>) -> impl Iterator<Item = &Seat> {
        self.joined().filter(move |seat| Some(seat.socket.id) != except)
    }

    fn users(&self) -> HashSet<UserId> {
        self.joined().map(|seat| seat.session.user_id).collect()
    }
}

/// Takes a socket out of a chat: its seat, and whether it was its user's last one there.
fn remove(rooms: &mut HashMap<ChatId, Room>, chat: ChatId, socket: Sid) -> Option<(Seat, bool)> {
    let room = rooms.get_mut(&chat)?;
    let seat = room.seats.remove(&socket)?;
    seat.session.forget_chat(chat);
    let is_last = room.joined().all(|other| other.session.user_id != seat.session.user_id);
    if room.seats.is_empty() {
        rooms.remove(&chat);
    }
    Some((seat, is_last))
}

impl Seat {
    fn turn_out(&self, chat: ChatId, told: &Encoded) {
        self.session.forget_chat(chat);
        if self.has_joined {
            emit(&self.socket, "left_chat", told);
        }
    }
}
