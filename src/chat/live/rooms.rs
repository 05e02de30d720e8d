//! Which sockets of this process are in which chat, and how far each of them has come.
//!
//! A socket in a chat has a *cursor*, the `seq` up to which it has everything. A message is emitted to it only
//! if it is the next one: so none comes twice, none out of order, and none is skipped. A socket that is behind
//! (its buffer was full, or it has just come back) is fed from the database until it has caught up. While it
//! pages through the history by itself, nothing is emitted to it.
//!
//! Rooms are identified by chat ids alone, so that no event can address a room by a name that a client made up.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::Utc;
use socketioxide::extract::SocketRef;
use socketioxide::socket::{DisconnectReason, Sid};
use tokio::time::Instant;

use super::events::{EventQueue, RoomEvent};
use super::resume::LastSeen;
use super::session::ChatSession;
use crate::chat::events::{LeftChat, UserLeft, UserTyping};
use crate::config::Heartbeat;
use crate::files::FileUrls;
use crate::realtime::{Bulkhead, EncodedEvent, Refusal, emit, lock};
use crate::types::{ChatId, UserId};

/// How many locks share the chats.
const SHARDS: usize = 16;

/// What a heartbeat's interval and time-out may take beyond their sum before a dead connection is noticed.
const HEARTBEAT_MARGIN: Duration = Duration::from_secs(5);

/// How often `user_typing` may repeat itself for one socket.
const TYPING_EVERY: Duration = Duration::from_secs(1);

/// The chats of this process. Cheap to clone.
#[derive(Clone)]
pub struct Rooms(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) shards: [Mutex<HashMap<ChatId, Room>>; SHARDS],
    pub(super) last_seen: Mutex<HashMap<(ChatId, UserId), LastSeen>>,
    pub(super) bulkhead: Bulkhead,
    pub(super) events: EventQueue,
    pub(super) file_urls: FileUrls,
    /// How long a dead connection can go unnoticed.
    unnoticed: Duration,
}

/// A chat with sockets in it.
#[derive(Default)]
pub(super) struct Room {
    /// The highest `seq` known here.
    pub(super) top: i64,
    pub(super) seats: HashMap<Sid, Seat>,
    /// Whether a task is feeding those who are behind.
    pub(super) is_feeding: bool,
}

/// A socket in a chat.
pub(super) struct Seat {
    pub(super) socket: SocketRef,
    pub(super) session: Arc<ChatSession>,
    /// The `seq` up to which it has everything.
    pub(super) cursor: i64,
    /// Its own messages beyond the cursor: acknowledged, so not emitted to it.
    pub(super) own: VecDeque<i64>,
    pub(super) state: DeliveryState,
    /// Whether its join was answered. Until then nobody sees it in the chat.
    pub(super) has_joined: bool,
    /// When its last join was answered, or begun if none was.
    joined_at: Instant,
    /// When `user_typing` was last emitted for it, and whether it said true.
    typing: Option<(Instant, bool)>,
    /// The cursor as the database knows it.
    pub(super) saved_cursor: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum DeliveryState {
    /// Pages through the history by itself: nothing is emitted.
    Paging,
    /// Is fed from the database, from this moment on.
    Behind(Instant),
    /// Receives messages as they are committed.
    Live,
}

/// A join that is not answered yet.
#[derive(Debug, Clone, Copy)]
pub struct PendingJoin {
    was_paging: bool,
}

/// The state of a socket once its join is answered.
#[derive(Debug, Clone, Copy)]
pub struct JoinOutcome {
    /// The `seq` up to which it has everything; `None` if nothing is known of it and it wants nothing older.
    pub cursor: Option<i64>,
    /// The `seq` of the chat's last message.
    pub last_seq: i64,
    /// Whether it goes on paging by itself.
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
    pub fn new(bulkhead: Bulkhead, file_urls: FileUrls, heartbeat: Heartbeat) -> Self {
        let unnoticed = heartbeat.interval + heartbeat.timeout + HEARTBEAT_MARGIN;
        Self(Arc::new(Inner {
            shards: Default::default(),
            last_seen: Mutex::default(),
            bulkhead,
            events: EventQueue::default(),
            file_urls,
            unnoticed,
        }))
    }

    pub(super) fn shard(&self, chat: ChatId) -> &Mutex<HashMap<ChatId, Room>> {
        &self.0.shards[usize::from(chat.0.as_bytes()[15]) % SHARDS]
    }

    /// Adds a seat for a socket before anything is read for it, so that what is committed in the meantime is not missed.
    /// If it has a seat already, nothing is emitted to it until [`finish_join`](Self::finish_join).
    ///
    /// # Errors
    /// [`Refusal::Invalid`] if it is in too many chats.
    pub fn begin_join(
        &self,
        chat: ChatId,
        socket: &SocketRef,
        session: &Arc<ChatSession>,
    ) -> Result<PendingJoin, Refusal> {
        let mut rooms = lock(self.shard(chat));
        session.note_chat(chat)?;
        let seat = rooms.entry(chat).or_default().seats.entry(socket.id).or_insert_with(|| Seat {
            socket: socket.clone(),
            session: session.clone(),
            cursor: 0,
            own: VecDeque::new(),
            state: DeliveryState::Paging,
            has_joined: false,
            joined_at: Instant::now(),
            typing: None,
            saved_cursor: None,
        });
        let was_paging = std::mem::replace(&mut seat.state, DeliveryState::Paging) == DeliveryState::Paging;
        Ok(PendingJoin { was_paging })
    }

    /// Answers a socket's join, and begins to deliver right after `outcome.cursor`; in one step, so that the answer
    /// comes before the messages. Returns whether it is new in the chat; `None` if it has lost its seat.
    pub fn finish_join(&self, chat: ChatId, socket: Sid, outcome: JoinOutcome, answer: impl FnOnce()) -> Option<bool> {
        let mut rooms = lock(self.shard(chat));
        let room = rooms.get_mut(&chat)?;
        let seat = room.seats.get_mut(&socket)?;
        answer();
        room.top = room.top.max(outcome.last_seq);
        seat.cursor = match outcome.cursor {
            Some(cursor) => cursor,
            // For a socket in the chat, joining again without a cursor changes nothing.
            None if seat.has_joined => seat.cursor,
            None => outcome.last_seq,
        };
        seat.state = if outcome.has_more { DeliveryState::Paging } else { seat.state_at(room.top) };
        let is_new = !std::mem::replace(&mut seat.has_joined, true);
        seat.joined_at = Instant::now();
        lock(&self.0.last_seen).remove(&(chat, seat.session.user_id));
        self.feed_if_behind(chat, room);
        Some(is_new)
    }

    /// Takes back a join that failed: a socket that was in the chat before goes on as before.
    pub fn abort_join(&self, chat: ChatId, socket: Sid, pending: PendingJoin) {
        let mut rooms = lock(self.shard(chat));
        let Some(room) = rooms.get_mut(&chat) else { return };
        match room.seats.get_mut(&socket) {
            Some(seat) if seat.has_joined => {
                seat.state = if pending.was_paging { DeliveryState::Paging } else { seat.state_at(room.top) };
                self.feed_if_behind(chat, room);
            }
            _ => drop(remove(&mut rooms, chat, socket)),
        }
    }

    /// Takes a socket that leaves on purpose out of a chat. Returns whether it was there.
    #[must_use]
    pub fn leave(&self, chat: ChatId, socket: Sid) -> bool {
        let mut rooms = lock(self.shard(chat));
        let Some((seat, is_last)) = remove(&mut rooms, chat, socket) else { return false };
        if is_last && seat.has_joined {
            self.note_last_seen(chat, &seat, None, true);
        }
        seat.has_joined
    }

    /// Takes a socket that has gone out of its chats.
    pub fn disconnected(&self, socket: Sid, session: &ChatSession, reason: DisconnectReason) {
        // Whatever was emitted to a connection that had died unnoticed is lost.
        let silent_since = (reason == DisconnectReason::HeartbeatTimeout).then(|| Utc::now() - self.0.unnoticed);
        for chat in session.take_chats() {
            if let Some((seat, true)) = remove(&mut lock(self.shard(chat)), chat, socket)
                && seat.has_joined
            {
                self.note_last_seen(chat, &seat, silent_since, false);
            }
        }
    }

    /// The users who are in a chat.
    #[must_use]
    pub fn users_in(&self, chat: ChatId) -> HashSet<UserId> {
        lock(self.shard(chat)).get(&chat).map(Room::users).unwrap_or_default()
    }

    /// Takes a user who was no longer a member at a moment out of a chat, and notifies both sides. Whoever has joined
    /// since is a member again.
    pub fn evict(&self, chat: ChatId, user: UserId, at: Instant) {
        let mut rooms = lock(self.shard(chat));
        let Some(room) = rooms.get_mut(&chat) else { return };
        self.evict_where(chat, room, |seat| seat.session.user_id == user && seat.joined_at < at);
        forget_if_empty(&mut rooms, chat);
    }

    /// Takes out the seats of users who are no longer members, and notifies both sides.
    pub(super) fn evict_where(&self, chat: ChatId, room: &mut Room, is_evicted: impl Fn(&Seat) -> bool) {
        let evicted: Vec<_> = room.seats.extract_if(|_, seat| is_evicted(seat)).map(|(_, seat)| seat).collect();
        if evicted.is_empty() {
            return;
        }
        let left_chat = LeftChat { chat_id: chat, message: "You are not a member of this chat any more" };
        let left_chat = EncodedEvent::new(&left_chat);
        let mut users = HashSet::new();
        for seat in &evicted {
            seat.evict(chat, &left_chat);
            if seat.has_joined && users.insert(seat.session.user_id) {
                let user_left = EncodedEvent::new(&UserLeft { user_id: seat.session.user_id, chat_id: chat });
                self.0.events.push(RoomEvent { chat, except: None, event: user_left, is_volatile: false });
            }
        }
    }

    /// Takes everybody out of a closed chat.
    pub fn close(&self, chat: ChatId) {
        let Some(room) = lock(self.shard(chat)).remove(&chat) else { return };
        let left_chat = EncodedEvent::new(&LeftChat { chat_id: chat, message: "This chat is closed" });
        room.seats.values().for_each(|seat| seat.evict(chat, &left_chat));
    }

    /// Emits to every member in a chat but the socket `except`, once the database has confirmed who is a member.
    pub fn emit(&self, chat: ChatId, except: Option<Sid>, event: EncodedEvent) {
        if lock(self.shard(chat)).contains_key(&chat) {
            self.0.events.push(RoomEvent { chat, except, event, is_volatile: false });
        }
    }

    /// Emits to those who are in the chat and among its members.
    pub(super) fn emit_to(&self, members: &[UserId], RoomEvent { chat, except, event, is_volatile }: &RoomEvent) {
        let rooms = lock(self.shard(*chat));
        let Some(room) = rooms.get(chat) else { return };
        let others = room.joined().filter(|seat| Some(seat.socket.id) != *except);
        for seat in others.filter(|seat| members.contains(&seat.session.user_id)) {
            if *is_volatile {
                event.emit_volatile(&seat.socket);
            } else {
                emit(&seat.socket, event);
            }
        }
    }

    /// Emits to the others that a socket's user types, or no longer does; not too often. Returns `false` if the socket
    /// is not in this chat.
    ///
    /// Only the latest counts, so it may be lost: a slow reader's buffer is for messages.
    #[must_use]
    pub fn emit_typing(&self, chat: ChatId, socket: Sid, is_typing: bool) -> bool {
        let mut rooms = lock(self.shard(chat));
        let Some(room) = rooms.get_mut(&chat) else { return false };
        let Some(seat) = room.seats.get_mut(&socket).filter(|seat| seat.has_joined) else { return false };
        let is_due = match seat.typing {
            Some((at, true)) => !is_typing || at.elapsed() >= TYPING_EVERY,
            Some((at, false)) => is_typing && at.elapsed() >= TYPING_EVERY,
            None => true,
        };
        if is_due {
            seat.typing = Some((Instant::now(), is_typing));
            let event = EncodedEvent::new(&UserTyping { user_id: seat.session.user_id, is_typing, chat_id: chat });
            self.0.events.push(RoomEvent { chat, except: Some(socket), event, is_volatile: true });
        }
        true
    }

    /// Who is in which chat, or about to be, to be compared with the database.
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
    pub(super) fn joined(&self) -> impl Iterator<Item = &Seat> {
        self.seats.values().filter(|seat| seat.has_joined && !seat.session.has_ended())
    }

    pub(super) fn users(&self) -> HashSet<UserId> {
        self.joined().map(|seat| seat.session.user_id).collect()
    }
}

/// Forgets a chat in which nobody is left.
pub(super) fn forget_if_empty(rooms: &mut HashMap<ChatId, Room>, chat: ChatId) {
    if rooms.get(&chat).is_some_and(|room| room.seats.is_empty()) {
        rooms.remove(&chat);
    }
}

/// Takes a socket out of a chat. Returns its seat, and whether it was its user's last one there.
fn remove(rooms: &mut HashMap<ChatId, Room>, chat: ChatId, socket: Sid) -> Option<(Seat, bool)> {
    let room = rooms.get_mut(&chat)?;
    let seat = room.seats.remove(&socket)?;
    seat.session.forget_chat(chat);
    let is_last = room.joined().all(|other| other.session.user_id != seat.session.user_id);
    forget_if_empty(rooms, chat);
    Some((seat, is_last))
}

impl Seat {
    fn evict(&self, chat: ChatId, left_chat: &EncodedEvent) {
        self.session.forget_chat(chat);
        if self.has_joined {
            emit(&self.socket, left_chat);
        }
    }
}
