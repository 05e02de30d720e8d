//! Read marks: stored in batches, several of one member in one step, and emitted to the chat after the commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use socketioxide::socket::Sid;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{self, error::TrySendError};

use super::queries::{self, MarkOutcome};
use super::rooms::Rooms;
use crate::chat::events::MessagesRead;
use crate::realtime::{Bulkhead, EncodedEvent, Refusal};
use crate::supervision::{Task, Tasks};
use crate::types::{ChatId, UserId};

/// How many marks may wait; more are refused as `overloaded`.
const MAX_QUEUED: usize = 4096;

/// The largest batch.
const MAX_BATCH: usize = 256;

/// A member has read a chat.
pub struct ReadMark {
    pub chat_id: ChatId,
    pub user_id: UserId,
    /// The last `seq` that was read; `None` for the end.
    pub seq: Option<i64>,
    /// The socket that sent the mark.
    pub socket: Sid,
    /// Called once the mark is stored or refused; if it is dropped instead, it answers by itself.
    pub answer: Box<dyn FnOnce(Result<MessagesRead, Refusal>) + Send>,
}

/// Takes read marks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ReadMarks {
    marks: mpsc::Sender<ReadMark>,
    task: Arc<Task>,
}

impl ReadMarks {
    /// Starts the task that stores them.
    #[must_use]
    pub fn start(tasks: &Tasks, bulkhead: Bulkhead, rooms: Rooms) -> Self {
        let (marks, received) = mpsc::channel(MAX_QUEUED);
        let received = Arc::new(Mutex::new(received));
        let task = tasks.start("read marks", move |task| run(received.clone(), bulkhead.clone(), rooms.clone(), task));
        Self { marks, task }
    }

    /// Queues a mark, or refuses it at once.
    pub fn mark(&self, mark: ReadMark) {
        let sent = if self.task.is_down() { Err(TrySendError::Closed(mark)) } else { self.marks.try_send(mark) };
        let (mark, refusal) = match sent {
            Ok(()) => return,
            Err(TrySendError::Full(mark)) => (mark, Refusal::Overloaded),
            Err(TrySendError::Closed(mark)) => (mark, Refusal::Unavailable),
        };
        (mark.answer)(Err(refusal));
    }
}

async fn run(
    received: Arc<Mutex<mpsc::Receiver<ReadMark>>>,
    bulkhead: Bulkhead,
    rooms: Rooms,
    task: Arc<Task>,
) -> anyhow::Result<()> {
    let mut received = received.lock().await;
    task.works();
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while received.recv_many(&mut batch, MAX_BATCH).await > 0 {
        store(&bulkhead, &rooms, std::mem::take(&mut batch)).await;
    }
    Ok(())
}

async fn store(bulkhead: &Bulkhead, rooms: &Rooms, batch: Vec<ReadMark>) {
    let mut by_member = BTreeMap::<_, Vec<_>>::new();
    for mark in batch {
        by_member.entry((mark.chat_id, mark.user_id)).or_default().push(mark);
    }
    let furthest: Vec<_> = by_member
        .iter()
        .map(|(&(chat_id, user_id), marks)| {
            // The end is further than any `seq`.
            let seq = marks.iter().map(|mark| mark.seq.unwrap_or(i64::MAX)).max().unwrap_or_default();
            (chat_id, user_id, seq)
        })
        .collect();
    let marked = match bulkhead.run(async |direct| queries::set_read(direct, &furthest).await).await {
        Ok(marked) => marked,
        Err(error) => {
            tracing::error!(%error, "read marks could not be stored");
            by_member.into_values().flatten().for_each(|mark| (mark.answer)(Err(Refusal::Unavailable)));
            return;
        }
    };
    for (((chat_id, user_id), marks), marked) in by_member.into_iter().zip(marked) {
        let answer = match marked {
            MarkOutcome::Read(seq) => Ok(MessagesRead { user_id, chat_id, seq }),
            MarkOutcome::Forbidden => Err(Refusal::Forbidden),
            MarkOutcome::ChatClosed => Err(Refusal::ChatClosed),
        };
        if let Ok(read) = &answer {
            rooms.emit(chat_id, marks.last().map(|mark| mark.socket), EncodedEvent::new(read));
        }
        for mark in marks {
            (mark.answer)(answer.clone());
        }
    }
}
