//! A state machine, without any I/O, from requests and answers to the bytes to be sent to the server and the client.
//!
//! The client is sqlx, which prepares (Parse, Describe, Sync), waits, and executes (Bind, Execute, Close, Sync). Here
//! the first request is answered from memory. The second becomes one that depends on nothing before it: the
//! transaction's BEGIN if this is its first statement, then Parse, Describe, Bind, Execute, Sync
//! (<https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY>).

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::begin::{Fronts, Opening};
use super::counters::Counters;
use super::descriptions::Descriptions;
use super::frame::{Answer, Message, Request, cut_text, put, put_error};
use super::pending::{Pending, Prepared, Stage, UNDUE, What, put_complete, put_described, put_end};
use super::statements::Statements;
use crate::guard;
use crate::limits::TimeLimits;

/// What all conversations of a relay share.
#[derive(Debug)]
pub struct Shared {
    pub descriptions: Descriptions,
    pub counters: Counters,
    fronts: Fronts,
}

impl Shared {
    /// `limits` apply to a statement outside a transaction. With `holds_reads` it is made read-only whatever its text;
    /// otherwise only if it may write.
    pub fn new(limits: Arc<TimeLimits>, holds_reads: bool) -> Self {
        Self {
            descriptions: Descriptions::default(),
            counters: Counters::default(),
            fronts: Fronts::new(limits, holds_reads),
        }
    }

    /// Has all limits set again, because a statement has outrun every one of them.
    pub fn doubt_limits(&self) {
        self.fronts.limits.doubt();
    }
}

/// Bytes to send.
#[derive(Debug, Default)]
pub struct Out {
    pub to_client: BytesMut,
    pub to_server: BytesMut,
}

/// The conversation cannot go on. The client is sent the reason, and both connections are closed.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation {
    pub sqlstate: &'static str,
    pub message: &'static str,
}

impl Violation {
    /// <https://www.postgresql.org/docs/current/errcodes-appendix.html>: `protocol_violation`.
    pub const fn of_protocol(message: &'static str) -> Self {
        Self { sqlstate: "08P01", message }
    }
}

/// Whether the conversation continues after a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Continues,
    /// The client has sent Terminate.
    Ends,
}

/// The state of the transaction, as the server last reported it (`ReadyForQuery`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Idle,
    Open,
    Failed,
}

/// A conversation after the start-up, from when the server is ready for the first time.
#[derive(Debug)]
pub struct Conversation {
    shared: Arc<Shared>,
    status: Status,
    /// The client's BEGIN, which has not been sent to the server yet.
    held: Option<Opening>,
    /// Whether the client's transaction can only be rolled back, whatever state the server reports.
    doomed: bool,
    statements: Statements,
    /// The request in flight: there is no way to express two.
    pending: Option<Pending>,
}

const NOT_ROLLED_BACK: Violation = Violation::of_protocol("the pooler did not carry out a ROLLBACK");

pub const COLUMNS_CHANGED: &str = "the columns or parameters of this statement are not what they were when this process first used it, \
     and its code cannot read them: restart the service, with a version that knows the present schema";

impl Conversation {
    /// The server is ready, and has no transaction open.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            status: Status::Idle,
            held: None,
            doomed: false,
            statements: Statements::default(),
            pending: None,
        }
    }

    /// Whether an answer of the server is due. Until it has come, no other request is accepted.
    pub fn awaits_answer(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether the server is running a statement that may be cancelled. COMMIT and ROLLBACK may not.
    pub fn runs_statement(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| !pending.ends_transaction())
    }

    /// Handles a request of the client.
    ///
    /// # Errors
    /// The request makes it impossible to continue the conversation.
    pub fn on_request(&mut self, request: Request, out: &mut Out) -> Result<Next, Violation> {
        let Request::Messages(messages) = request else {
            self.refuse("54000", "the request is longer than 32 MiB: send less at once", out);
            return Ok(Next::Continues);
        };
        let tags: Vec<u8> = messages.iter().map(|message| message.tag).collect();
        let bodies: Vec<Bytes> = messages.into_iter().map(|message| message.body).collect();
        match (&*tags, &*bodies) {
            (b"S", _) => self.ping(out),
            (b"PDS", [parse, describe, _]) => self.prepare(parse, describe, out)?,
            (b"BECS", [bind, execute, close, _]) => self.execute(bind, execute, close, out)?,
            (b"Q", [query]) => self.query(query, out)?,
            (b"X", _) => return Ok(Next::Ends),
            ([closes @ .., b'S'], _) if closes.iter().all(|tag| *tag == b'C') => self.close(&bodies, out)?,
            _ => self.refuse("0A000", "this sequence of messages is not relayed to the transaction pooler", out),
        }
        Ok(Next::Continues)
    }

    /// Handles a message of the server, or rows.
    ///
    /// # Errors
    /// The message is not the one that is due: the conversation cannot go on.
    pub fn on_answer(&mut self, answer: Answer, out: &mut Out) -> Result<(), Violation> {
        let message = match answer {
            // May come at any time: a changed parameter, a notice.
            Answer::Message(Message { tag: tag @ (b'S' | b'N'), body }) => {
                put(&mut out.to_client, tag, &[&body]);
                return Ok(());
            }
            // A notification for a LISTEN that somebody else left on a shared server; sqlx would take it for an answer.
            Answer::Message(Message { tag: b'A', .. }) => return Ok(()),
            Answer::Rows(rows) => {
                return match &mut self.pending {
                    Some(Pending { stage: Stage::Opening(..), .. }) => Ok(()),
                    Some(Pending { stage: Stage::Rows, withheld, .. }) => {
                        if !*withheld {
                            out.to_client.extend_from_slice(&rows);
                        }
                        Ok(())
                    }
                    _ => Err(UNDUE),
                };
            }
            Answer::Message(message) => message,
        };
        match &mut self.pending {
            // The server or the pooler is ending the connection, and this is why. Even if it stays open, no transaction
            // survives.
            None if message.tag == b'E' => {
                self.doom();
                put(&mut out.to_client, b'E', &[&message.body]);
            }
            None => return Err(UNDUE),
            Some(pending) if message.tag == b'Z' && pending.is_answered() => self.settle(&message.body, out)?,
            Some(Pending { what: What::Rollback { .. }, .. }) if message.tag == b'E' => return Err(NOT_ROLLED_BACK),
            Some(pending) if message.tag == b'E' && pending.stage != Stage::Failed => {
                if let (Stage::Parameters, What::Execute { described }) = (pending.stage, &pending.what) {
                    let doubted = self.shared.descriptions.doubt(&described.parse);
                    self.shared.counters.evicted.add(doubted.into());
                }
                pending.stage = Stage::Failed;
                put(&mut out.to_client, b'E', &[&message.body]);
            }
            Some(pending) => {
                let prepared = pending.advance(&message, &self.shared, &mut out.to_client)?;
                if let Some(Prepared { name, described }) = prepared {
                    let forgotten = self.statements.insert(&name, described);
                    self.shared.counters.evicted.add(forgotten);
                }
            }
        }
        Ok(())
    }

    // --- requests ---------------------------------------------------------------------------

    /// A bare Sync: the pool checks that a connection that it is about to lend is alive. A BEGIN that is still held back
    /// then belongs to a transaction that its owner has dropped.
    fn ping(&mut self, out: &mut Out) {
        self.forget();
        self.ready(out);
    }

    fn prepare(&mut self, parse: &Bytes, describe: &Bytes, out: &mut Out) -> Result<(), Violation> {
        const MALFORMED: Violation = Violation::of_protocol("a malformed Parse");
        let (name, parse) = cut_text(parse).ok_or(MALFORMED)?;
        if describe.len() != name.len() + 2
            || describe[0] != b'S'
            || describe[1..=name.len()] != name
            || parse.is_empty()
        {
            self.refuse("0A000", "a Describe of something else than was just parsed is not relayed", out);
        } else if self.doomed {
            self.refuse_doomed(out);
        } else if let Some(described) = self.shared.descriptions.get(&parse) {
            self.shared.counters.hits.add(1);
            put_described(&mut out.to_client, &described.description);
            let forgotten = self.statements.insert(&name, described);
            self.shared.counters.evicted.add(forgotten);
            self.ready(out);
        } else if let Err(why) = check(&parse) {
            self.refuse("0A000", &why, out);
        } else {
            self.shared.counters.misses.add(1);
            let mut request = BytesMut::new();
            // Not the held BEGIN: it is the first *execution* that opens the transaction.
            let what = What::Prepare { name: Bytes::copy_from_slice(&name), parse: Bytes::copy_from_slice(&parse) };
            let pending = self.open(what, false, &mut request);
            put(&mut request, b'P', &[b"\0", &parse]);
            put(&mut request, b'D', &[b"S\0"]);
            put(&mut request, b'S', &[]);
            self.send(pending, request, out);
        }
        Ok(())
    }

    fn execute(&mut self, bind: &Bytes, execute: &Bytes, close: &Bytes, out: &mut Out) -> Result<(), Violation> {
        const MALFORMED: Violation = Violation::of_protocol("a malformed Bind");
        let (portal, rest) = cut_text(bind).ok_or(MALFORMED)?;
        let (name, values) = cut_text(&rest).ok_or(MALFORMED)?;
        if !portal.is_empty() || execute[..] != [0; 5] || close[..] != *b"P\0" {
            self.refuse("0A000", "portals that outlive their request are not relayed to the transaction pooler", out);
        } else if self.doomed {
            self.refuse_doomed(out);
        } else if let Some(described) = self.statements.get(&name) {
            let mut request = BytesMut::with_capacity(described.parse.len() + values.len() + 256);
            let pending = self.open(What::Execute { described: described.clone() }, true, &mut request);
            // Without the Close: the unnamed portal ends with its transaction or with the next Bind, and pgdog never
            // answers a request with more than one Execute and then a Close.
            put_statement(&mut request, &described.parse, &values);
            put(&mut request, b'S', &[]);
            self.send(pending, request, out);
        } else {
            // After an ordinary error sqlx would use the name again and again. Ending the connection has it replaced.
            return Err(Violation {
                sqlstate: "26000",
                message: "there is no prepared statement of this name on this connection",
            });
        }
        Ok(())
    }

    /// The simple protocol: what opens and ends transactions, and sqlx's own look-ups of types.
    fn query(&mut self, query: &Bytes, out: &mut Out) -> Result<(), Violation> {
        let (text, rest) = cut_text(query).ok_or(Violation::of_protocol("a malformed Query"))?;
        let Ok(sql) = std::str::from_utf8(&text) else {
            return Err(Violation::of_protocol("a query that is not UTF-8"));
        };
        let sql = sql.trim_matches([' ', ';']);
        if !rest.is_empty() {
            return Err(Violation::of_protocol("a malformed Query"));
        }
        if sql.eq_ignore_ascii_case("commit") {
            self.commit(out);
        } else if sql.eq_ignore_ascii_case("rollback") {
            self.rollback(out);
        } else if let Some(opening) = Opening::parse(sql) {
            if self.status != Status::Idle || self.held.is_some() || self.doomed {
                return Err(Violation {
                    sqlstate: "25001",
                    message: "a transaction is open already on this connection",
                });
            }
            for tag in &opening.tags {
                put_complete(&mut out.to_client, tag);
            }
            self.shared.counters.held.add(1);
            self.held = Some(opening);
            self.ready(out);
        } else if self.doomed {
            self.refuse_doomed(out);
        } else if let Err(why) = guard::check(sql) {
            self.refuse("0A000", &why, out);
        } else if !guard::is_plain_select(sql) {
            self.refuse("0A000", "the simple protocol is for reading only: use sqlx::query", out);
        } else {
            // No parameters; results in text, as in the simple protocol.
            let parse = [&text[..], &[0, 0, 0]].concat();
            let mut request = BytesMut::new();
            let pending = self.open(What::Query, true, &mut request);
            put_statement(&mut request, &parse, &[0; 6]);
            put(&mut request, b'S', &[]);
            self.send(pending, request, out);
        }
        Ok(())
    }

    fn commit(&mut self, out: &mut Out) {
        if self.doomed {
            self.end(What::Rollback { of_commit: true }, out);
        } else if self.forget() {
            put_complete(&mut out.to_client, "COMMIT");
            self.ready(out);
        } else if self.status == Status::Idle {
            self.refuse("25P01", "there is no transaction to commit", out);
        } else {
            self.end(What::Commit, out);
        }
    }

    fn rollback(&mut self, out: &mut Out) {
        self.forget();
        self.end(What::Rollback { of_commit: false }, out);
    }

    fn close(&mut self, bodies: &[Bytes], out: &mut Out) -> Result<(), Violation> {
        let Some((_sync, closes)) = bodies.split_last() else { return Ok(()) };
        for close in closes {
            let name = close.split_first().filter(|(kind, _)| **kind == b'S').and_then(|(_, name)| name.split_last());
            let Some((0, name)) = name else {
                return Err(Violation::of_protocol("a Close of something else than a statement"));
            };
            self.statements.remove(&Bytes::copy_from_slice(name));
            put(&mut out.to_client, b'3', &[]);
        }
        self.ready(out);
        Ok(())
    }

    // --- parts of requests ------------------------------------------------------------------

    /// Starts a request for a statement. Writes what goes in front to `request`: the held BEGIN if the statement `begins`
    /// its transaction, or what a statement outside a transaction needs.
    fn open(&mut self, what: What, begins: bool, request: &mut BytesMut) -> Pending {
        let held = if begins { self.held.take() } else { None };
        let opening = match &held {
            Some(held) => Some(held),
            None if self.status == Status::Idle => self.shared.fronts.of(what.may_write()),
            None => None,
        };
        let Some(opening) = opening else { return Pending::new(what, Stage::Parameters, 1, false) };
        request.extend_from_slice(&opening.wire);
        let commands = opening.tags.len();
        Pending::new(what, Stage::Opening(commands, false), commands + 1, held.is_some())
    }

    fn send(&mut self, pending: Pending, request: BytesMut, out: &mut Out) {
        out.to_server.unsplit(request);
        self.pending = Some(pending);
    }

    /// Ends the client's transaction, and the server's if BEGIN has been sent.
    fn end(&mut self, how: What, out: &mut Out) {
        self.held = None;
        self.doomed = false;
        if self.status == Status::Idle {
            put_end(&mut out.to_client, &how);
            self.ready(out);
        } else {
            let command: &[u8] = if matches!(how, What::Commit) { b"COMMIT\0" } else { b"ROLLBACK\0" };
            let mut request = BytesMut::new();
            put(&mut request, b'Q', &[command]);
            self.send(Pending::new(how, Stage::End, 0, false), request, out);
        }
    }

    /// Drops a BEGIN that is held back. Returns whether there was one.
    fn forget(&mut self) -> bool {
        let forgotten = self.held.take().is_some();
        self.shared.counters.forgotten.add(forgotten.into());
        forgotten
    }

    // --- answers ----------------------------------------------------------------------------

    /// Handles the `ReadyForQuery` with which the server's answer to a request ends.
    fn settle(&mut self, status: &[u8], out: &mut Out) -> Result<(), Violation> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let before = self.status;
        self.status = match status {
            b"I" => Status::Idle,
            b"T" => Status::Open,
            b"E" => Status::Failed,
            _ => return Err(Violation::of_protocol("the pooler is ready in an unknown way")),
        };
        if before != Status::Idle && self.status == Status::Idle && !pending.ends_transaction() {
            return Err(Violation::of_protocol("the pooler ended a transaction by itself"));
        }
        if self.status != Status::Idle && matches!(pending.what, What::Rollback { .. }) {
            return Err(NOT_ROLLED_BACK);
        }
        let refused = pending.withheld && pending.stage != Stage::Failed;
        if refused {
            put_error(&mut out.to_client, "ERROR", "0A000", COLUMNS_CHANGED);
        }
        let failed = refused || pending.stage == Stage::Failed;
        // Whether the client has a transaction that has failed without the server knowing that, or knowing of it at all.
        self.doomed = match self.status {
            Status::Idle => pending.begins || failed && self.held.take().is_some(),
            Status::Open => refused,
            Status::Failed => false,
        };
        self.ready(out);
        Ok(())
    }

    /// Sends the client `ReadyForQuery`, with the state of its transaction.
    fn ready(&self, out: &mut Out) {
        let status = match self.status {
            _ if self.doomed => b"E",
            Status::Failed => b"E",
            Status::Open => b"T",
            Status::Idle if self.held.is_some() => b"T",
            Status::Idle => b"I",
        };
        put(&mut out.to_client, b'Z', &[status]);
    }

    /// Answers a request that is not passed on with an error. Like any error, it dooms the transaction it occurs in.
    fn refuse(&mut self, sqlstate: &str, why: &str, out: &mut Out) {
        self.shared.counters.refused.add(1);
        self.doom();
        put_error(&mut out.to_client, "ERROR", sqlstate, why);
        self.ready(out);
    }

    /// Marks the client's transaction, if there is one: from now on it can only be rolled back.
    fn doom(&mut self) {
        self.doomed |= self.held.take().is_some() || self.status != Status::Idle;
    }

    fn refuse_doomed(&mut self, out: &mut Out) {
        self.refuse("25P02", "the transaction has failed: nothing but ROLLBACK is carried out in it", out);
    }
}

/// Whether this statement may travel through the pooler.
fn check(parse: &Bytes) -> Result<(), String> {
    let text = cut_text(parse).map(|(text, _)| text).unwrap_or_default();
    let sql = std::str::from_utf8(&text).map_err(|_| "a statement must be UTF-8".to_owned())?;
    guard::check(sql)
}

/// Parse, Describe, Bind and Execute of an unnamed statement: `parse` is what follows the name in a Parse message,
/// `values` what follows it in a Bind.
fn put_statement(request: &mut BytesMut, parse: &[u8], values: &[u8]) {
    put(request, b'P', &[b"\0", parse]);
    put(request, b'D', &[b"S\0"]);
    put(request, b'B', &[b"\0\0", values]);
    put(request, b'E', &[&[0; 5]]);
}
