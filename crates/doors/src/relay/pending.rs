//! A request in flight: which messages of its answer are due, and which of them are passed on to the client.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::columns::Description;
use super::conversation::{Shared, Violation};
use super::descriptions::Described;
use super::frame::{Message, put, put_error};

/// A request in flight.
#[derive(Debug)]
pub struct Pending {
    pub what: What,
    pub stage: Stage,
    /// How many `ParseComplete` are due. They carry nothing, and a pooler may send them earlier than PostgreSQL would: any
    /// position before the statement's `BindComplete` is accepted.
    parses: usize,
    /// Whether BEGIN travelled with it.
    pub begins: bool,
    /// `ParameterDescription`, until the `RowDescription` or `NoData` that belongs to it has come.
    parameters: Bytes,
    /// Whether the rows are kept from the client, because it could not read them.
    pub withheld: bool,
}

/// A statement that the server has just described, and the client's name for it.
pub struct Prepared {
    pub name: Bytes,
    pub described: Arc<Described>,
}

#[derive(Debug)]
pub enum What {
    Prepare {
        name: Bytes,
        parse: Bytes,
    },
    Execute {
        described: Arc<Described>,
    },
    /// A query of the simple protocol, executed in the extended one.
    Query,
    Commit,
    /// `of_commit`: the client asked to commit a transaction that has failed.
    Rollback {
        of_commit: bool,
    },
}

impl What {
    /// Whether it may write, as far as the text shows.
    pub fn may_write(&self) -> bool {
        match self {
            Self::Prepare { .. } => false,
            Self::Execute { described } => !described.only_reads,
            // Rare, so their text is not examined.
            Self::Query | Self::Commit | Self::Rollback { .. } => true,
        }
    }
}

/// Which message of the server is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The answers to this many commands in front of the statement; whether the first of these is bound already.
    Opening(usize, bool),
    Parameters,
    Columns,
    Bind,
    Rows,
    End,
    Ready,
    /// An error was reported: nothing but `ReadyForQuery` follows.
    Failed,
}

pub const UNDUE: Violation = Violation::of_protocol("the pooler sent a message that is not due");
impl Pending {
    pub fn new(what: What, stage: Stage, parses: usize, begins: bool) -> Self {
        Self { what, stage, parses, begins, parameters: Bytes::new(), withheld: false }
    }

    pub fn ends_transaction(&self) -> bool {
        matches!(self.what, What::Commit | What::Rollback { .. })
    }

    /// Whether nothing but `ReadyForQuery` is due.
    pub fn is_answered(&self) -> bool {
        self.stage == Stage::Failed || self.stage == Stage::Ready && self.parses == 0
    }

    /// Takes the message that is due, and passes on what concerns the client. Returns the statement that is now
    /// prepared, if one is.
    pub fn advance(
        &mut self,
        message: &Message,
        shared: &Shared,
        out: &mut BytesMut,
    ) -> Result<Option<Prepared>, Violation> {
        let mut prepared = None;
        self.stage = match (self.stage, message.tag) {
            (stage @ (Stage::Opening(..) | Stage::Parameters | Stage::Columns | Stage::Bind), b'1') => {
                self.parses = self.parses.checked_sub(1).ok_or(UNDUE)?;
                stage
            }
            (Stage::Opening(commands, false), b'2') => Stage::Opening(commands, true),
            (Stage::Opening(1, true), b'C') => Stage::Parameters,
            (Stage::Opening(commands, true), b'C') => Stage::Opening(commands - 1, false),
            (Stage::Parameters, b't') => {
                self.parameters = Bytes::copy_from_slice(&message.body);
                Stage::Columns
            }
            (Stage::Columns, b'T' | b'n') => {
                let columns = (message.tag == b'T').then(|| Bytes::copy_from_slice(&message.body));
                let now = Description { parameters: std::mem::take(&mut self.parameters), columns };
                prepared = self.describe(now, shared, out);
                if matches!(self.what, What::Prepare { .. }) { Stage::Ready } else { Stage::Bind }
            }
            (Stage::Bind, b'2') if self.parses == 0 => {
                if matches!(self.what, What::Execute { .. }) && !self.withheld {
                    put(out, b'2', &[]);
                }
                Stage::Rows
            }
            (Stage::Rows, tag @ (b'C' | b'I')) => {
                if !self.withheld {
                    put(out, tag, &[&message.body]);
                    if matches!(self.what, What::Execute { .. }) {
                        // Answers the client's Close, which was not passed on.
                        put(out, b'3', &[]);
                    }
                }
                Stage::Ready
            }
            // PostgreSQL answers the COMMIT of a failed transaction with ROLLBACK.
            (Stage::End, b'C') if matches!(self.what, What::Commit) && message.body[..] != *b"COMMIT\0" => {
                put_error(out, "ERROR", "25P02", "the transaction had failed: it has been rolled back");
                Stage::Failed
            }
            (Stage::End, b'C') => {
                put_end(out, &self.what);
                Stage::Ready
            }
            _ => return Err(UNDUE),
        };
        Ok(prepared)
    }

    /// Handles the server's description of a statement. In a request that executes it, compares this *present* description
    /// with the one that the client has.
    fn describe(&mut self, now: Description, shared: &Shared, out: &mut BytesMut) -> Option<Prepared> {
        let columns = now.columns.clone();
        match &self.what {
            What::Execute { described } if described.description == now => return None,
            What::Execute { described } => {
                shared.counters.changed.add(1);
                self.withheld = !described.description.is_readable_as(&now);
                if !self.withheld {
                    let (_, evicted) = shared.descriptions.learn(&described.parse, now);
                    shared.counters.evicted.add(evicted);
                }
                if let Some(columns) = columns.filter(|_| !self.withheld) {
                    put(out, b'T', &[&columns]);
                }
                shared.counters.refused.add(self.withheld.into());
            }
            What::Prepare { name, parse } => {
                let (learned, evicted) = shared.descriptions.learn(parse, now);
                shared.counters.evicted.add(evicted);
                self.withheld = learned.is_none();
                shared.counters.refused.add(self.withheld.into());
                if let Some(described) = learned {
                    put_described(out, &described.description);
                    return Some(Prepared { name: name.clone(), described });
                }
            }
            What::Query => {
                if let Some(columns) = columns {
                    put(out, b'T', &[&columns]);
                }
            }
            What::Commit | What::Rollback { .. } => {}
        }
        None
    }
}

/// The answers to Parse and Describe.
pub fn put_described(out: &mut BytesMut, description: &Description) {
    put(out, b'1', &[]);
    put(out, b't', &[&description.parameters]);
    match &description.columns {
        Some(columns) => put(out, b'T', &[columns]),
        None => put(out, b'n', &[]),
    }
}

/// The answer to the end of the client's transaction.
pub fn put_end(out: &mut BytesMut, how: &What) {
    match how {
        What::Rollback { of_commit: true } => {
            put_error(out, "ERROR", "25P02", "the transaction has failed: it is rolled back");
        }
        What::Rollback { of_commit: false } => put_complete(out, "ROLLBACK"),
        _ => put_complete(out, "COMMIT"),
    }
}

pub fn put_complete(out: &mut BytesMut, tag: &str) {
    put(out, b'C', &[tag.as_bytes(), b"\0"]);
}
