//! Which sockets of this process are in which chat, and what each of them has been given.
//!
//! A socket in a chat has a *cursor*, the `seq` up to which it has everything. A message is emitted to it only
//! if it is the next one: so none comes twice, none out of order, and none is skipped. A socket that is behind
//! (its buffer was full, or it has just come back) is fed from the database until it has caught up. While it
//! reads for itself, page by page, it is given nothing.
//!
//! Chats are named by their ids alone, so that no event can address a room by a name that a client made up.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use socketioxide::SendError;
use socketioxide::SocketError;
use socketioxide::extract::SocketRef;
use socketioxide::socket::{DisconnectReason, Sid};
use tokio::time::Instant;

use super::readings::Readings;
use super::reply::Refusal;
use super::session::{Session, lock};
use super::{Encoded, HEARTBEAT_MARGIN, Heartbeat, emit};
use crate::auth::UserId;
use crate::chat::events::{LeftChat, NewMessageEvent, UserInChat, UserTyping};
use crate::chat::{self, ChatId, MessageId, MessageView};

/// So many locks share the chats.
const SHARDS: usize = 16;

/// For how long a member who dropped out of a chat is given what was missed without asking.
const RESUME_WITHIN: Duration = Duration::from_secs(120);

/// How many messages are read at a time for sockets that are behind.
const FEED_MESSAGES: i64 = 200;

/// When a socket whose buffer was full, or a database that did not answer, is tried again.
const FEED_AGAIN_AFTER: Duration = Duration::from_millis(500);

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

/// How a member's last socket left a chat.
#[derive(Debug, Clone, Copy)]
struct Parting {
    /// When.
    at: Instant,
    /// What it had been given.
    cursor: i64,
    /// It did not answer since then: what it was given afterwards may be lost.
    silent_since: Option<DateTime<Utc>>,
    /// On purpose: it is not given what it misses.
    on_purpose: bool,
    is_recorded: bool,
}

/// What is known of a member who comes without a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// Dropped out a moment ago.
    Dropped {
        /// What its last socket had been given.
        cursor: i64,
        /// If set: only what was committed before is sure to have arrived.
        silent_since: Option<DateTime<Utc>>,
    },
    /// Is here with another socket, or left on purpose: nothing to make up for.
    Nothing,
    /// Not known here: the database may know it from a process before.
    Unknown,
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

/// A committed message on its way to the sockets of its chat.
pub struct Fresh {
    /// The socket that sent it, which has the acknowledgement instead.
    pub sender: Option<Sid>,
    /// Its id.
    pub id: MessageId,
    /// Its place in the chat.
    pub seq: i64,
    /// `new_message`.
    pub event: Encoded,
}

/// What the database should know of a member's sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Which chat.
    pub chat_id: ChatId,
    /// Who.
    pub user_id: UserId,
    /// What its sockets have been given.
    pub cursor: i64,
    /// Is one there?
    pub whereabouts: Whereabouts,
}

/// Where a member's sockets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    /// In the chat.
    Here,
    /// The last one dropped.
    Dropped,
    /// The last one left on purpose.
    Left,
}

impl Whereabouts {
    /// The word in SQL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Dropped => "dropped",
            Self::Left => "left",
        }
    }
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

    // --- joining and leaving ------------------------------------------------------------------

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

    /// What a member who joins without a cursor may have missed.
    #[must_use]
    pub fn past(&self, chat: ChatId, user: UserId) -> Past {
        if let Some(room) = lock(self.shard(chat)).get(&chat)
            && room.seats.values().any(|seat| seat.has_joined && seat.session.user_id == user)
        {
            return Past::Nothing;
        }
        match lock(&self.0.partings).get(&(chat, user)) {
            None => Past::Unknown,
            Some(parting) if parting.on_purpose || parting.at.elapsed() > RESUME_WITHIN => Past::Nothing,
            Some(&Parting { cursor, silent_since, .. }) => Past::Dropped { cursor, silent_since },
        }
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

    fn part(&self, chat: ChatId, seat: &Seat, silent_since: Option<DateTime<Utc>>, on_purpose: bool) {
        let parting = Parting { at: Instant::now(), cursor: seat.cursor, silent_since, on_purpose, is_recorded: false };
        lock(&self.0.partings).insert((chat, seat.session.user_id), parting);
    }

    /// Is this socket in the chat?
    #[must_use]
    pub fn has_joined(&self, chat: ChatId, socket: Sid) -> bool {
        lock(self.shard(chat)).get(&chat).and_then(|room| room.seats.get(&socket)).is_some_and(|seat| seat.has_joined)
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

    // --- messages -----------------------------------------------------------------------------

    /// Gives committed messages, in the order of their `seq`, to the sockets of their chat.
    pub fn deliver(&self, chat: ChatId, messages: &[Fresh]) {
        let mut rooms = lock(self.shard(chat));
        let Some(room) = rooms.get_mut(&chat) else { return };
        for seat in room.seats.values_mut() {
            for message in messages {
                seat.take(message);
            }
        }
        room.top = room.top.max(messages.last().map_or(0, |message| message.seq));
        self.feed_if_behind(chat, room);
    }

    /// There are messages up to `seq` that may not have been delivered: whoever lacks them is fed.
    pub fn catch_up(&self, chat: ChatId, seq: i64) {
        let mut rooms = lock(self.shard(chat));
        let Some(room) = rooms.get_mut(&chat) else { return };
        room.top = room.top.max(seq);
        for seat in room.seats.values_mut().filter(|seat| seat.state == State::Live && seat.cursor < seq) {
            seat.state = State::Behind(Instant::now());
        }
        self.feed_if_behind(chat, room);
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

    fn feed_if_behind(&self, chat: ChatId, room: &mut Room) {
        let is_behind = room.seats.values().any(|seat| matches!(seat.state, State::Behind(_)));
        if is_behind && !std::mem::replace(&mut room.is_feeding, true) {
            tokio::spawn(self.clone().feed(chat));
        }
    }

    /// Feeds those who are behind until nobody is.
    async fn feed(self, chat: ChatId) {
        loop {
            let (after, top) = match self.next_feed(chat) {
                Feed::Done => return,
                Feed::Wait(until) => {
                    tokio::time::sleep_until(until).await;
                    continue;
                }
                Feed::Read { after, top } => (after, top),
            };
            let read = self.0.readings.run(async |direct| chat::list_missed(direct, chat, after, FEED_MESSAGES).await);
            match read.await {
                Ok(page) => self.hand_out(chat, after, page, top),
                Err(error) => {
                    tracing::warn!(%error, "missed messages could not be read: trying again");
                    tokio::time::sleep(FEED_AGAIN_AFTER).await;
                }
            }
        }
    }

    fn next_feed(&self, chat: ChatId) -> Feed {
        let mut rooms = lock(self.shard(chat));
        let Some(room) = rooms.get_mut(&chat) else { return Feed::Done };
        let now = Instant::now();
        let behind = room.seats.values().filter_map(|seat| match seat.state {
            State::Behind(since) => Some((since, seat.cursor)),
            _ => None,
        });
        let Some(earliest) = behind.clone().map(|(since, _)| since).min() else {
            room.is_feeding = false;
            return Feed::Done;
        };
        match behind.filter(|(since, _)| *since <= now).map(|(_, cursor)| cursor).min() {
            Some(after) => Feed::Read { after, top: room.top },
            None => Feed::Wait(earliest),
        }
    }

    /// Gives a page of messages `after` a `seq` to those who are behind, but not so far that they lack what is before
    /// it. `top` was known before it was read, so whoever has a page that is not full has everything up to there.
    fn hand_out(&self, chat: ChatId, after: i64, page: Vec<MessageView>, top: i64) {
        let is_whole = i64::try_from(page.len()).is_ok_and(|messages| messages < FEED_MESSAGES);
        let page: Vec<_> = page
            .into_iter()
            .map(|message| {
                let (id, seq) = (message.id, message.seq);
                Fresh { sender: None, id, seq, event: Encoded::new(&NewMessageEvent { chat_id: chat, message }) }
            })
            .collect();
        let mut rooms = lock(self.shard(chat));
        let Some(room) = rooms.get_mut(&chat) else { return };
        let top = top.max(page.last().map_or(0, |message| message.seq));
        room.top = room.top.max(top);
        let now = Instant::now();
        for seat in room.seats.values_mut() {
            if !matches!(seat.state, State::Behind(since) if since <= now) || seat.cursor < after {
                continue;
            }
            let is_fed = page.iter().filter(|message| message.seq > seat.cursor).collect::<Vec<_>>();
            let is_fed = is_fed.into_iter().all(|message| seat.feed(message));
            if is_fed {
                seat.cursor = if is_whole { seat.cursor.max(top) } else { seat.cursor };
                seat.state = seat.state_at(room.top);
            }
        }
    }

    // --- what the database should know --------------------------------------------------------

    /// What has changed since the last [`recorded`](Self::recorded).
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let mut records = HashMap::new();
        for (&(chat_id, user_id), parting) in &*lock(&self.0.partings) {
            if !parting.is_recorded {
                let whereabouts = if parting.on_purpose { Whereabouts::Left } else { Whereabouts::Dropped };
                records.insert((chat_id, user_id), Record { chat_id, user_id, cursor: parting.cursor, whereabouts });
            }
        }
        for shard in &self.0.shards {
            for (&chat_id, room) in &*lock(shard) {
                for user_id in room.users() {
                    let seats = || room.joined().filter(|seat| seat.session.user_id == user_id);
                    let Some(cursor) = seats().map(|seat| seat.cursor).min() else { continue };
                    if seats().any(|seat| seat.recorded != Some(cursor)) {
                        let here = Record { chat_id, user_id, cursor, whereabouts: Whereabouts::Here };
                        records.insert((chat_id, user_id), here);
                    }
                }
            }
        }
        records.into_values().collect()
    }

    /// The database knows these.
    pub fn recorded(&self, records: &[Record]) {
        let (here, gone): (Vec<&Record>, Vec<&Record>) =
            records.iter().partition(|record| record.whereabouts == Whereabouts::Here);
        for record in here {
            let mut rooms = lock(self.shard(record.chat_id));
            let seats = rooms.get_mut(&record.chat_id).into_iter().flat_map(|room| room.seats.values_mut());
            for seat in seats.filter(|seat| seat.session.user_id == record.user_id) {
                seat.recorded = Some(record.cursor);
            }
        }
        let mut partings = lock(&self.0.partings);
        for record in gone {
            if let Some(parting) = partings.get_mut(&(record.chat_id, record.user_id))
                && parting.cursor == record.cursor
                && parting.on_purpose == (record.whereabouts == Whereabouts::Left)
            {
                parting.is_recorded = true;
            }
        }
        partings.retain(|_, parting| !parting.is_recorded || parting.at.elapsed() <= RESUME_WITHIN);
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

enum Feed {
    Done,
    Wait(Instant),
    Read { after: i64, top: i64 },
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
    fn state_at(&self, top: i64) -> State {
        if self.cursor < top { State::Behind(Instant::now()) } else { State::Live }
    }

    /// A message has been committed.
    fn take(&mut self, message: &Fresh) {
        if message.seq <= self.cursor {
            return;
        }
        if message.sender == Some(self.socket.id) {
            self.own.push_back(message.seq);
        }
        if self.state != State::Live {
            return;
        }
        if message.seq == self.cursor + 1 {
            self.feed(message);
        } else {
            self.state = State::Behind(Instant::now());
        }
    }

    /// Gives it the next message it lacks. `false`: it cannot take more at present.
    fn feed(&mut self, message: &Fresh) -> bool {
        if !self.is_own(message) {
            if self.session.has_ended() {
                self.state = State::Reading;
                return false;
            }
            match self.socket.emit("new_message", &message.event) {
                Ok(()) => {}
                Err(SendError::Socket(SocketError::InternalChannelFull)) => {
                    self.state = State::Behind(Instant::now() + FEED_AGAIN_AFTER);
                    return false;
                }
                Err(error) => {
                    // It is going away.
                    tracing::debug!(%error, "a message was not delivered");
                    self.state = State::Reading;
                    return false;
                }
            }
        }
        self.cursor = message.seq;
        true
    }

    /// Did this socket send it? Both its own messages and those it is given ascend.
    fn is_own(&mut self, message: &Fresh) -> bool {
        while self.own.front().is_some_and(|seq| *seq < message.seq) {
            self.own.pop_front();
        }
        self.own.front() == Some(&message.seq) || self.session.is_sending(message.id)
    }

    fn turn_out(&self, chat: ChatId, told: &Encoded) {
        self.session.forget_chat(chat);
        if self.has_joined {
            emit(&self.socket, "left_chat", told);
        }
    }
}
