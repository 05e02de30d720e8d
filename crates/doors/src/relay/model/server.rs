//! PostgreSQL behind a transaction pooler, as far as the model needs it. It panics where an invariant is broken.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf as _, Bytes, BytesMut};

use crate::limits::{COUNT, LimitSet, NAMES};
use crate::relay::frame::{Message, cut_text, put, put_error, take_whole};

/// What a statement is, in the model: its text is one of few words, an id, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Select,
    Insert,
    /// Fails when it is executed.
    Fail,
}

/// The columns of a statement: all have one, of this type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Int4,
    Int8,
    Text,
}

impl Shape {
    pub const fn oid(self) -> u32 {
        match self {
            Self::Int4 => 23,
            Self::Int8 => 20,
            Self::Text => 25,
        }
    }

    /// Whether code written for `self` can read `other`.
    pub const fn reads(self, other: Self) -> bool {
        matches!(self, Self::Text) == matches!(other, Self::Text)
    }

    /// Of a `RowDescription`.
    pub fn of(columns: &Bytes) -> Self {
        [Self::Int4, Self::Int8, Self::Text]
            .into_iter()
            .find(|shape| shape.row_description() == *columns)
            .expect("a shape")
    }

    pub fn row_description(self) -> Vec<u8> {
        [&[0, 1][..], b"a\0", &[0; 6], &self.oid().to_be_bytes(), &[0, 4, 255, 255, 255, 255, 0, 1]].concat()
    }
}

/// PostgreSQL behind a transaction pooler: whatever was prepared is gone with the transaction.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Server {
    pub input: BytesMut,
    pub output: BytesMut,
    pub shapes: BTreeMap<u8, Shape>,
    /// Tables that are not there.
    pub missing: BTreeSet<u8>,
    pub committed: Vec<(u8, u32)>,
    pub uncommitted: Vec<(u8, u32)>,
    pub status: Status,
    pub read_only: bool,
    /// The limits that a session has by itself.
    pub by_role: LimitSet,
    /// The limits that the present request has set.
    pub by_front: LimitSet,
    /// Whether every statement outside a transaction has to be made read-only.
    pub holds_reads: bool,
    /// Since the last Sync: the statement that was parsed, and the one that was bound with its value.
    pub parsed: Option<String>,
    pub bound: Option<(String, Bytes)>,
    pub skips_to_sync: bool,
    pub fails_next_begin: bool,
    pub order: Order,
    pub noise: bool,
    /// The tags of all that was received.
    pub log: String,
}

/// The order in which a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    #[default]
    AsAsked,
    /// As by pgcat with its cache of statements: every `ParseComplete` before anything else.
    ParsesFirst,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Status {
    #[default]
    Idle,
    Open,
    Failed,
}

impl Server {
    pub fn shape(&self, id: u8) -> Shape {
        self.shapes.get(&id).copied().unwrap_or(Shape::Int4)
    }

    /// Answers whole requests.
    pub fn run(&mut self) {
        let mut earlier = self.output.split();
        let (mut ahead, mut behind) = (BytesMut::new(), BytesMut::new());
        while let Some(message) = take_whole(&mut self.input).expect("well-formed messages") {
            self.noise();
            self.log.push(char::from(message.tag));
            let skipped = self.skips_to_sync;
            self.on(&message);
            let is_parse_complete = message.tag == b'P' && !skipped && !self.skips_to_sync;
            let is_ahead = self.order == Order::ParsesFirst && is_parse_complete;
            let part = if is_ahead { &mut ahead } else { &mut behind };
            part.unsplit(self.output.split());
            if b"SQ".contains(&message.tag) {
                earlier.unsplit(ahead.split());
                earlier.unsplit(behind.split());
            }
        }
        self.output = earlier;
    }

    /// What may come at any time.
    pub fn noise(&mut self) {
        if self.noise {
            put(&mut self.output, b'N', &[b"SNOTICE\0C00000\0Mx\0\0"]);
            put(&mut self.output, b'A', &[&[0, 0, 0, 1], b"x\0y\0"]);
            put(&mut self.output, b'S', &[b"TimeZone\0UTC\0"]);
        }
    }

    pub fn on(&mut self, message: &Message) {
        match message.tag {
            b'S' => {
                self.skips_to_sync = false;
                self.ready();
            }
            b'Q' => {
                let (text, _) = cut_text(&message.body).expect("a text");
                let committed = &text[..] == b"COMMIT" && self.status == Status::Open;
                let uncommitted = std::mem::take(&mut self.uncommitted);
                if committed {
                    self.committed.extend(uncommitted);
                }
                self.status = Status::Idle;
                put(&mut self.output, b'C', &[if committed { b"COMMIT\0" } else { b"ROLLBACK\0" }]);
                self.ready();
            }
            _ if self.skips_to_sync => {}
            b'P' => {
                let (name, rest) = cut_text(&message.body).expect("a name");
                assert!(name.is_empty(), "invariant 1: no name reaches the pooler");
                let (text, _) = cut_text(&rest).expect("a text");
                let text = String::from_utf8(text.to_vec()).expect("UTF-8");
                if self.status == Status::Failed {
                    return self.fail("25P02");
                }
                if matches!(text.split_once(' '), Some(("select" | "insert" | "table", id)) if id.parse().is_ok_and(|id| self.missing.contains(&id)))
                {
                    return self.fail("42P01");
                }
                self.parsed = Some(text);
                put(&mut self.output, b'1', &[]);
            }
            b'D' => {
                assert_eq!(&message.body[..], b"S\0", "invariant 1");
                let id = statement(self.parsed.as_deref().expect("invariant 1: Describe with its Parse")).1;
                let columns = self.shape(id).row_description();
                put(&mut self.output, b't', &[&[0, 1, 0, 0, 0, 23]]);
                put(&mut self.output, b'T', &[&columns]);
            }
            b'B' => {
                assert_eq!(message.body[..2], [0, 0], "invariant 1: neither portal nor statement has a name");
                let parsed = self.parsed.clone().expect("invariant 1: every Bind travels with its Parse");
                self.bound = Some((parsed, message.body.slice(2..)));
                put(&mut self.output, b'2', &[]);
            }
            b'E' => self.execute(),
            tag => panic!("the server was sent {:?}", char::from(tag)),
        }
    }

    pub fn execute(&mut self) {
        let (text, values) = self.bound.take().expect("a bound statement");
        if text.starts_with("begin") {
            if std::mem::take(&mut self.fails_next_begin) {
                return self.fail("57014");
            }
            assert_eq!(self.status, Status::Idle);
            self.status = Status::Open;
            self.read_only = text.contains("read only");
            return put(&mut self.output, b'C', &[b"BEGIN\0"]);
        }
        if text.starts_with("set local") {
            assert_eq!(self.status, Status::Open);
            return put(&mut self.output, b'C', &[b"SET\0"]);
        }
        if text.contains("set_config") {
            assert_eq!(self.status, Status::Idle);
            self.read_only = text.contains("transaction_read_only");
            let limits = (0..COUNT).filter(|n| text.contains(NAMES[*n])).map(LimitSet::of);
            self.by_front = limits.fold(LimitSet::default(), LimitSet::with);
            put(&mut self.output, b'D', &[&[0, 1, 0, 0, 0, 2], b"on"]);
            return put(&mut self.output, b'C', &[b"SELECT 1\0"]);
        }
        let (kind, id) = statement(&text);
        if self.status == Status::Idle {
            let must_hold = self.holds_reads || kind == Kind::Insert;
            assert!(self.read_only || !must_hold, "outside a transaction nothing writes");
            let limits = self.by_role.with(self.by_front).with(LimitSet::BETWEEN_STATEMENTS);
            assert_eq!(limits, LimitSet::ALL, "no statement without limits");
            assert!(
                !self.by_role.with(LimitSet::BETWEEN_STATEMENTS).contains(LimitSet::ALL)
                    || self.by_front == LimitSet::default(),
                "what the role has is not set again"
            );
        }
        // A look-up has no parameter.
        let value = values.len().checked_sub(8).map_or(0, |at| values.slice(at..).get_u32());
        match kind {
            Kind::Fail => return self.fail("22012"),
            Kind::Insert if self.read_only => return self.fail("25006"),
            Kind::Insert => self.uncommitted.push((id, value)),
            Kind::Select => {}
        }
        let row = Row { shape: self.shape(id), id, value };
        for _ in 0..=value % 3 {
            put(&mut self.output, b'D', &[&row.encode()]);
        }
        put(&mut self.output, b'C', &[b"SELECT 1\0"]);
    }

    pub fn fail(&mut self, sqlstate: &str) {
        put_error(&mut self.output, "ERROR", sqlstate, "no");
        self.skips_to_sync = true;
        if self.status == Status::Open {
            self.status = Status::Failed;
        }
    }

    pub fn ready(&mut self) {
        let status = match self.status {
            Status::Idle => b"I",
            Status::Open => b"T",
            Status::Failed => b"E",
        };
        put(&mut self.output, b'Z', &[status]);
        // The next request may reach another server.
        self.parsed = None;
        self.bound = None;
        if self.status == Status::Idle {
            self.read_only = false;
            self.by_front = LimitSet::default();
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub shape: Shape,
    pub id: u8,
    pub value: u32,
}

impl Row {
    pub fn encode(self) -> Vec<u8> {
        let content = [&self.shape.oid().to_be_bytes()[..], &[self.id], &self.value.to_be_bytes()].concat();
        [&[0, 1, 0, 0, 0, 9][..], &content].concat()
    }

    pub fn decode(mut body: Bytes) -> Self {
        body.advance(6);
        let shape = match body.get_u32() {
            23 => Shape::Int4,
            20 => Shape::Int8,
            _ => Shape::Text,
        };
        Self { shape, id: body.get_u8(), value: body.get_u32() }
    }
}

/// What kind of statement a text is, and its id.
pub fn statement(text: &str) -> (Kind, u8) {
    let (word, id) = text.split_once(' ').expect("two words");
    let kind = match word {
        "select" => Kind::Select,
        "insert" => Kind::Insert,
        _ => Kind::Fail,
    };
    (kind, id.parse().unwrap_or(0))
}
