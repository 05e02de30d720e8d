//! Delivery of messages to the sockets of a chat: each once, in the order of `seq`, from the writer or the database.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use socketioxide::socket::Sid;
use socketioxide::{SendError, SocketError};
use tokio::time::Instant;

use super::queries::{self, Page};
use super::rooms::{DeliveryState, Room, Rooms, Seat, forget_if_empty};
use crate::chat::events::NewMessageEvent;
use crate::realtime::{EncodedEvent, lock};
use crate::types::{ChatId, MessageId, UserId};

/// How many messages are read at a time for sockets that are behind.
const FEED_MESSAGES: i64 = 200;

/// How long after a full buffer, or a failed read, feeding is tried again.
const FEED_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// A committed message on its way to the sockets of its chat.
pub struct CommittedMessage {
    /// The socket that sent it, which receives the acknowledgement instead.
    pub sender: Option<Sid>,
    pub id: MessageId,
    /// The position in the chat.
    pub seq: i64,
    /// `new_message`.
    pub event: EncodedEvent,
}

/// The next step of a chat's feeder.
enum Feed {
    Done,
    Wait(Instant),
    Read { at: Instant, after: i64, top: i64 },
}

impl Rooms {
    /// Delivers committed messages, in the order of their `seq`, to the sockets of the members for whom they are meant. The
    /// others are fed, which finds out whether they are members since.
    pub fn deliver(&self, chat: ChatId, members: &[UserId], messages: &[CommittedMessage]) {
        let mut rooms = lock(self.shard(chat));
        let Some(room) = rooms.get_mut(&chat) else { return };
        for seat in room.seats.values_mut() {
            let is_meant = members.contains(&seat.session.user_id);
            for message in messages {
                seat.deliver(message, is_meant);
            }
        }
        room.top = room.top.max(messages.last().map_or(0, |message| message.seq));
        self.feed_if_behind(chat, room);
    }

    /// Feeds the sockets that lack messages up to `seq`, which may not have been delivered.
    pub fn catch_up(&self, chat: ChatId, seq: i64) {
        let mut rooms = lock(self.shard(chat));
        let Some(room) = rooms.get_mut(&chat) else { return };
        room.top = room.top.max(seq);
        for seat in room.seats.values_mut().filter(|seat| seat.state == DeliveryState::Live && seat.cursor < seq) {
            seat.state = DeliveryState::Behind(Instant::now());
        }
        self.feed_if_behind(chat, room);
    }

    pub(super) fn feed_if_behind(&self, chat: ChatId, room: &mut Room) {
        let is_behind = room.seats.values().any(|seat| matches!(seat.state, DeliveryState::Behind(_)));
        if is_behind && !std::mem::replace(&mut room.is_feeding, true) {
            let rooms = self.clone();
            tokio::spawn(async move {
                // A panic must not leave the chat without its feeder.
                while AssertUnwindSafe(rooms.feed(chat)).catch_unwind().await.is_err() {
                    tracing::error!("feeding a chat panicked: trying again");
                    tokio::time::sleep(FEED_AGAIN_AFTER).await;
                }
            });
        }
    }

    /// Feeds those who are behind until nobody is.
    async fn feed(&self, chat: ChatId) {
        loop {
            let (at, after, top) = match self.next_feed(chat) {
                Feed::Done => return,
                Feed::Wait(until) => {
                    tokio::time::sleep_until(until).await;
                    continue;
                }
                Feed::Read { at, after, top } => (at, after, top),
            };
            let read =
                self.0.bulkhead.run(async |direct| queries::find_missed(direct, chat, after, FEED_MESSAGES).await);
            match read.await {
                Ok(page) => self.hand_out(chat, at, after, page, top),
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
            DeliveryState::Behind(since) => Some((since, seat.cursor)),
            _ => None,
        });
        let Some(earliest) = behind.clone().map(|(since, _)| since).min() else {
            room.is_feeding = false;
            return Feed::Done;
        };
        match behind.filter(|(since, _)| *since <= now).map(|(_, cursor)| cursor).min() {
            Some(after) => Feed::Read { at: now, after, top: room.top },
            None => Feed::Wait(earliest),
        }
    }

    /// Delivers a page of messages `after` a `seq` to those who are behind, but not so far that they lack what is before
    /// it. `top` was known before the page was read, so a page that is not full holds everything up to there.
    ///
    /// Takes out those who were in the chat before the page was read, and are not among its members.
    fn hand_out(&self, chat: ChatId, at: Instant, after: i64, page: Page, top: i64) {
        let Page { members, messages } = page;
        let is_whole = i64::try_from(messages.len()).is_ok_and(|messages| messages < FEED_MESSAGES);
        let page: Vec<_> = messages
            .into_iter()
            .map(|message| {
                let (id, seq) = (message.id, message.seq);
                let message = message.with_urls(chat, &self.0.file_urls);
                CommittedMessage {
                    sender: None,
                    id,
                    seq,
                    event: EncodedEvent::new(&NewMessageEvent { chat_id: chat, message }),
                }
            })
            .collect();
        let mut rooms = lock(self.shard(chat));
        let Some(room) = rooms.get_mut(&chat) else { return };
        let top = top.max(page.last().map_or(0, |message| message.seq));
        room.top = room.top.max(top);
        let is_due = |seat: &Seat| matches!(seat.state, DeliveryState::Behind(since) if since <= at);
        self.evict_where(chat, room, |seat| is_due(seat) && !members.contains(&seat.session.user_id));
        for seat in room.seats.values_mut().filter(|seat| is_due(seat) && seat.cursor >= after) {
            let is_fed = page.iter().filter(|message| message.seq > seat.cursor).collect::<Vec<_>>();
            let is_fed = is_fed.into_iter().all(|message| seat.feed(message));
            if is_fed {
                seat.cursor = if is_whole { seat.cursor.max(top) } else { seat.cursor };
                seat.state = seat.state_at(room.top);
            }
        }
        forget_if_empty(&mut rooms, chat);
    }
}

impl Seat {
    pub(super) fn state_at(&self, top: i64) -> DeliveryState {
        if self.cursor < top { DeliveryState::Behind(Instant::now()) } else { DeliveryState::Live }
    }

    /// Delivers a committed message if it is the next one, and meant for this user.
    fn deliver(&mut self, message: &CommittedMessage, is_meant: bool) {
        if message.seq <= self.cursor {
            return;
        }
        if message.sender == Some(self.socket.id) {
            self.own.push_back(message.seq);
        }
        if self.state != DeliveryState::Live {
            return;
        }
        if is_meant && message.seq == self.cursor + 1 {
            self.feed(message);
        } else {
            self.state = DeliveryState::Behind(Instant::now());
        }
    }

    /// Emits the next message that it lacks. Returns `false` if it cannot take more at present.
    fn feed(&mut self, message: &CommittedMessage) -> bool {
        if !self.is_own(message) {
            if self.session.has_ended() {
                self.state = DeliveryState::Paging;
                return false;
            }
            match message.event.try_emit(&self.socket) {
                Ok(()) => {}
                Err(SendError::Socket(SocketError::InternalChannelFull)) => {
                    self.state = DeliveryState::Behind(Instant::now() + FEED_AGAIN_AFTER);
                    return false;
                }
                Err(error) => {
                    // It is going away.
                    tracing::debug!(%error, "a message was not delivered");
                    self.state = DeliveryState::Paging;
                    return false;
                }
            }
        }
        self.cursor = message.seq;
        true
    }

    /// Whether this socket sent the message. Both its own messages and those delivered to it ascend.
    fn is_own(&mut self, message: &CommittedMessage) -> bool {
        while self.own.front().is_some_and(|seq| *seq < message.seq) {
            self.own.pop_front();
        }
        self.own.front() == Some(&message.seq) || self.session.is_sending(message.id)
    }
}
