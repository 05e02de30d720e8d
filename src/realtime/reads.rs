//! Read marks: stored in batches, several of one member in one step, and told to the chat after the commit.

use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use socketioxide::socket::Sid;
use tokio::sync::mpsc::{self, error::TrySendError};

use super::readings::Readings;
use super::reply::Refusal;
use super::rooms::Rooms;
use crate::chat::events::MessagesRead;
use crate::chat::{self, Marked};
use crate::types::{ChatId, UserId};

/// How many marks may wait; more are refused as `overloaded`.
const MAX_QUEUED: usize = 4096;

/// The largest batch.
const MAX_BATCH: usize = 256;

/// A member has read a chat.
pub struct Mark {
    /// Which chat.
    pub chat_id: ChatId,
    /// Who.
    pub user_id: UserId,
    /// Up to this `seq`; `None`: up to the end.
    pub seq: Option<i64>,
    /// The socket that says so.
    pub socket: Sid,
    /// Is told what became of it.
    pub answer: Box<dyn FnOnce(Result<MessagesRead, Refusal>) + Send>,
}

/// Takes read marks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reads(mpsc::Sender<Mark>);

impl Reads {
    /// Starts the task that stores them; it ends with the last clone.
    #[must_use]
    pub fn start(readings: Readings, rooms: Rooms) -> Self {
        let (marks, mut received) = mpsc::channel(MAX_QUEUED);
        tokio::spawn(async move {
            let mut batch = Vec::with_capacity(MAX_BATCH);
            while received.recv_many(&mut batch, MAX_BATCH).await > 0 {
                let settled = std::panic::AssertUnwindSafe(settle(&readings, &rooms, std::mem::take(&mut batch)));
                if settled.catch_unwind().await.is_err() {
                    tracing::error!("storing read marks panicked: they were not answered");
                }
            }
        });
        Self(marks)
    }

    /// Queues a mark, or refuses it at once.
    pub fn mark(&self, mark: Mark) {
        let (mark, refusal) = match self.0.try_send(mark) {
            Ok(()) => return,
            Err(TrySendError::Full(mark)) => (mark, Refusal::Overloaded),
            Err(TrySendError::Closed(mark)) => (mark, Refusal::Unavailable),
        };
        (mark.answer)(Err(refusal));
    }
}

async fn settle(readings: &Readings, rooms: &Rooms, batch: Vec<Mark>) {
    let mut by_member = BTreeMap::<_, Vec<_>>::new();
    for mark in batch {
        by_member.entry((mark.chat_id, mark.user_id)).or_default().push(mark);
    }
    let furthest: Vec<_> = by_member
        .iter()
        .map(|(&(chat_id, user_id), marks)| {
            // Up to the end is further than anything.
            let seq = marks.iter().map(|mark| mark.seq.unwrap_or(i64::MAX)).max().unwrap_or_default();
            (chat_id, user_id, seq)
        })
        .collect();
    let marked = match readings.run(async |direct| chat::set_read(direct, &furthest).await).await {
        Ok(marked) => marked,
        Err(error) => {
            tracing::error!(%error, "read marks could not be stored");
            by_member.into_values().flatten().for_each(|mark| (mark.answer)(Err(Refusal::Unavailable)));
            return;
        }
    };
    for (((chat_id, user_id), marks), marked) in by_member.into_iter().zip(marked) {
        let answer = match marked {
            Marked::Read(seq) => Ok(MessagesRead { user_id, chat_id, seq }),
            Marked::Forbidden => Err(Refusal::Forbidden),
            Marked::ChatClosed => Err(Refusal::ChatClosed),
        };
        if let Ok(read) = &answer {
            rooms.tell(chat_id, marks.last().map(|mark| mark.socket), "messages_read", read);
        }
        for mark in marks {
            (mark.answer)(answer.clone());
        }
    }
}
