//! Random conversations between a client that behaves as sqlx does and a server behind a transaction pooler, with the
//! bytes cut anywhere: whatever happens, the client sees what it would see on a connection of its own, or an error.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use server::{Kind, Order, Row, Server, Shape};

use super::columns::Description;
use super::conversation::{Conversation, Out, Shared};
use super::frame::{Answer, AnswerReader, Message, RequestReader, put, put_error, take_whole};
use crate::limits::{LimitSet, TimeLimits};

mod server;

/// What a client does next.
#[derive(Debug, Clone, Copy)]
enum Action {
    Begin {
        read_only: bool,
    },
    Statement {
        kind: Kind,
        id: u8,
        value: u32,
    },
    /// The caller goes away while the statement runs; its transaction is rolled back and the connection returned.
    Dropped {
        kind: Kind,
        id: u8,
        executes: bool,
    },
    /// The caller goes away within `begin`, and the connection is returned.
    DroppedBegin,
    Commit,
    Rollback,
    Ping,
    /// sqlx makes room in its cache.
    Forget {
        id: u8,
    },
    /// A request that must not be passed on.
    Forbidden(&'static str),
    /// Somebody changes a table.
    Migrate {
        id: u8,
        shape: Shape,
    },
    /// Somebody drops a table, or brings it back.
    DropOrRestore {
        id: u8,
    },
    FailNextBegin,
    /// The client's connection is replaced by a new one.
    Reconnect,
    /// The pooler reports that it is ending the connection, and does not.
    Fatal,
    /// Other statements take all the room there is for descriptions.
    Evict,
    /// sqlx looks a type up.
    LookUp {
        id: u8,
    },
    /// The role's limits are altered, and the door has learned it.
    AlterRole {
        has: LimitSet,
    },
}

fn action() -> impl Strategy<Value = Action> {
    let kind = || prop_oneof![4 => Just(Kind::Select), 3 => Just(Kind::Insert), 1 => Just(Kind::Fail)];
    let shape = prop_oneof![Just(Shape::Int4), Just(Shape::Int8), Just(Shape::Text)];
    prop_oneof![
        4 => any::<bool>().prop_map(|read_only| Action::Begin { read_only }),
        12 => (kind(), 0..4_u8, any::<u32>()).prop_map(|(kind, id, value)| Action::Statement { kind, id, value }),
        2 => (kind(), 0..4_u8, any::<bool>()).prop_map(|(kind, id, executes)| Action::Dropped { kind, id, executes }),
        1 => Just(Action::DroppedBegin),
        4 => Just(Action::Commit),
        2 => Just(Action::Rollback),
        2 => Just(Action::Ping),
        1 => (0..4_u8).prop_map(|id| Action::Forget { id }),
        1 => prop::sample::select(vec!["set a = 1", "listen x", "deallocate all", "select pg_advisory_lock(1)"])
            .prop_map(Action::Forbidden),
        1 => (0..4_u8).prop_map(|id| Action::DropOrRestore { id }),
        1 => Just(Action::Reconnect),
        1 => Just(Action::Fatal),
        1 => Just(Action::Evict),
        1 => (0..4_u8).prop_map(|id| Action::LookUp { id }),
        2 => prop::sample::select(LimitSet::every().to_vec()).prop_map(|has| Action::AlterRole { has }),
        2 => (0..4_u8, shape).prop_map(|(id, shape)| Action::Migrate { id, shape }),
        1 => Just(Action::FailNextBegin),
    ]
}

/// What the client saw of one request.
#[derive(Debug, Default)]
struct Seen {
    tags: Vec<String>,
    rows: Vec<Row>,
    columns: Option<Bytes>,
    error: Option<String>,
    /// How many portals were closed.
    closed: usize,
    status: u8,
}

struct World {
    server: Server,
    limits: Arc<TimeLimits>,
    shared: Arc<Shared>,
    conversation: Conversation,
    requests: RequestReader,
    answers: AnswerReader,
    from_client: BytesMut,
    from_server: BytesMut,
    out: Out,
    to_client: BytesMut,
    /// The sizes of the next pieces in bytes, repeated over and over.
    cuts: VecDeque<usize>,
    requests_sent: usize,
    ready_seen: usize,
    /// sqlx's cache: the name of each statement and its description.
    cache: BTreeMap<(String, u8), (String, Bytes)>,
    next_name: u32,
    /// The first description of each statement, as long as it is remembered.
    first: BTreeMap<String, Shape>,
    in_transaction: bool,
    failed: bool,
    writes: Vec<(u8, u32)>,
    acknowledged: Vec<(u8, u32)>,
}

impl World {
    /// All single reads are made read-only, whatever their text, and the role has no limits.
    fn new(cuts: Vec<usize>, order: Order, noise: bool) -> Self {
        Self::with(cuts, order, noise, true)
    }

    fn with(cuts: Vec<usize>, order: Order, noise: bool, holds_reads: bool) -> Self {
        let limits = Arc::new(TimeLimits::new(Duration::from_secs(5)));
        let shared = Arc::new(Shared::new(limits.clone(), holds_reads));
        Self {
            server: Server { holds_reads, order, noise, ..Server::default() },
            limits,
            conversation: Conversation::new(shared.clone()),
            shared,
            requests: RequestReader::default(),
            answers: AnswerReader::default(),
            from_client: BytesMut::new(),
            from_server: BytesMut::new(),
            out: Out::default(),
            to_client: BytesMut::new(),
            cuts: cuts.into(),
            requests_sent: 0,
            ready_seen: 0,
            cache: BTreeMap::new(),
            next_name: 0,
            first: BTreeMap::new(),
            in_transaction: false,
            failed: false,
            writes: Vec::new(),
            acknowledged: Vec::new(),
        }
    }

    fn piece(&mut self, of: usize) -> usize {
        let cut = self.cuts.pop_front().unwrap_or(1);
        self.cuts.push_back(cut);
        cut.clamp(1, of)
    }

    /// Moves one piece, as `connection.rs` would. Returns whether anything moved.
    fn step(&mut self, sent: &mut BytesMut) -> bool {
        let mut moved = false;
        if !sent.is_empty() {
            let piece = self.piece(sent.len());
            self.from_client.unsplit(sent.split_to(piece));
            moved = true;
        }
        if !self.server.output.is_empty() && self.cuts.front().is_none_or(|cut| cut % 2 == 0 || !moved) {
            let piece = self.piece(self.server.output.len());
            let piece = self.server.output.split_to(piece);
            self.from_server.extend_from_slice(&piece);
            moved = true;
        }
        while let Some(answer) = self.answers.next(&mut self.from_server).expect("well-formed answers") {
            if matches!(&answer, Answer::Message(message) if message.tag == b'Z') {
                self.ready_seen += 1;
            }
            self.conversation.on_answer(answer, &mut self.out).expect("answers that are due");
        }
        while !self.conversation.awaits_answer() {
            let Some(request) = self.requests.next(&mut self.from_client).expect("well-formed requests") else { break };
            self.conversation.on_request(request, &mut self.out).expect("requests that are understood");
            moved = true;
        }
        if !self.out.to_server.is_empty() {
            let sent = self.out.to_server.split();
            let mut look = sent.clone();
            while let Some(message) = take_whole(&mut look).expect("well-formed messages") {
                self.requests_sent += usize::from(b"SQ".contains(&message.tag));
            }
            assert!(look.is_empty(), "whole requests only");
            assert!(self.requests_sent - self.ready_seen <= 1, "invariant 2: at most one request is on its way");
            self.server.input.unsplit(sent);
            self.server.run();
            moved = true;
        }
        self.to_client.unsplit(self.out.to_client.split());
        moved
    }

    /// Sends, and waits for that many `ReadyForQuery`. Returns what was seen before the last one.
    fn ask(&mut self, mut request: BytesMut, ready: usize) -> Seen {
        let (mut seen, mut left) = (Seen::default(), ready);
        loop {
            let moved = self.step(&mut request);
            while let Some(message) = take_whole(&mut self.to_client).expect("well-formed answers") {
                match message.tag {
                    b'Z' => {
                        left -= 1;
                        seen.status = message.body[0];
                        if left == 0 {
                            assert!(self.to_client.is_empty() || self.server.noise, "nothing after the last answer");
                            return seen;
                        }
                        seen = Seen::default();
                    }
                    b'D' => seen.rows.push(Row::decode(message.body)),
                    b'T' => seen.columns = Some(message.body),
                    b'C' => seen.tags.push(String::from_utf8_lossy(&message.body[..message.body.len() - 1]).into()),
                    b'E' => seen.error = Some(String::from_utf8_lossy(&message.body).into()),
                    b'3' => seen.closed += 1,
                    b'1' | b'2' | b't' | b'N' | b'S' => {}
                    tag => panic!("the client was sent {:?}", char::from(tag)),
                }
            }
            assert!(moved, "the conversation is stuck");
        }
    }

    fn text(kind: Kind, id: u8) -> String {
        match kind {
            Kind::Select => format!("select {id}"),
            Kind::Insert => format!("insert {id}"),
            // To the guard it is a statement like any other.
            Kind::Fail => format!("table {id}"),
        }
    }

    fn check_status(&self, seen: &Seen) {
        let expected = match (self.in_transaction, self.failed) {
            (false, _) => b'I',
            (true, false) => b'T',
            (true, true) => b'E',
        };
        assert_eq!(char::from(seen.status), char::from(expected), "{seen:?}");
    }

    fn note_error(&mut self) {
        self.failed = self.in_transaction;
        self.writes.clear();
    }

    /// Asks for a statement's description, if sqlx has none; `None` if that failed.
    fn prepare(&mut self, text: &str, id: u8) -> Option<(String, Bytes)> {
        if let Some(known) = self.cache.get(&(text.to_owned(), id)) {
            return Some(known.clone());
        }
        let (name, request) = self.parse(text);
        let seen = self.ask(request, 1);
        if seen.error.is_some() {
            self.note_error();
            self.check_status(&seen);
            return None;
        }
        self.check_status(&seen);
        let columns = seen.columns.expect("columns");
        let shape = Shape::of(&columns);
        assert!(
            self.first.entry(text.to_owned()).or_insert(shape).reads(shape),
            "invariant 3: described as it cannot be read"
        );
        self.cache.insert((text.to_owned(), id), (name.clone(), columns.clone()));
        Some((name, columns))
    }

    fn parse(&mut self, text: &str) -> (String, BytesMut) {
        self.next_name += 1;
        let name = format!("sqlx_s_{}", self.next_name);
        let request = Self::parse_as(&name, text);
        (name, request)
    }

    fn parse_as(name: &str, text: &str) -> BytesMut {
        let mut request = BytesMut::new();
        put(&mut request, b'P', &[name.as_bytes(), b"\0", text.as_bytes(), b"\0", &[0, 1, 0, 0, 0, 23]]);
        put(&mut request, b'D', &[b"S", name.as_bytes(), b"\0"]);
        put(&mut request, b'S', &[]);
        request
    }

    fn bind(name: &str, value: u32) -> BytesMut {
        let mut request = BytesMut::new();
        let values = [&[0, 1, 0, 1, 0, 1, 0, 0, 0, 4][..], &value.to_be_bytes(), &[0, 1, 0, 1]].concat();
        put(&mut request, b'B', &[b"\0", name.as_bytes(), b"\0", &values]);
        put(&mut request, b'E', &[&[0; 5]]);
        put(&mut request, b'C', &[b"P\0"]);
        put(&mut request, b'S', &[]);
        request
    }

    fn query(text: &str) -> BytesMut {
        let mut request = BytesMut::new();
        put(&mut request, b'Q', &[text.as_bytes(), b"\0"]);
        request
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Begin { read_only } if !self.in_transaction => {
                let mode = if read_only { " read only" } else { "" };
                let seen = self.ask(Self::query(&format!("begin{mode}; set local statement_timeout = 5000")), 1);
                assert_eq!(seen.tags, ["BEGIN", "SET"]);
                self.in_transaction = true;
                self.failed = false;
                self.check_status(&seen);
            }
            Action::Statement { kind, id, value } => self.execute(kind, id, value),
            Action::Dropped { kind, id, executes } => {
                let text = Self::text(kind, id);
                let mut request = if executes {
                    let Some((name, _)) = self.prepare(&text, id) else { return };
                    Self::bind(&name, 1)
                } else {
                    self.parse(&text).1
                };
                let mut ready = 2;
                if self.in_transaction {
                    request.unsplit(Self::query("ROLLBACK"));
                    ready += 1;
                }
                put(&mut request, b'S', &[]);
                let seen = self.ask(request, ready);
                self.end();
                self.check_status(&seen);
            }
            Action::DroppedBegin if !self.in_transaction => {
                let mut request = Self::query("begin");
                put(&mut request, b'S', &[]);
                let seen = self.ask(request, 2);
                self.check_status(&seen);
            }
            Action::Commit if self.in_transaction => {
                let seen = self.ask(Self::query("COMMIT"), 1);
                assert_eq!(seen.error.is_some(), self.failed, "{seen:?}");
                if seen.error.is_none() {
                    assert_eq!(seen.tags, ["COMMIT"]);
                    let writes = std::mem::take(&mut self.writes);
                    self.acknowledged.extend(writes);
                }
                self.end();
                self.check_status(&seen);
                assert_eq!(self.server.committed, self.acknowledged, "acknowledged is committed, and nothing else is");
            }
            Action::Rollback if self.in_transaction => {
                let seen = self.ask(Self::query("ROLLBACK"), 1);
                assert_eq!((seen.tags, seen.error), (vec!["ROLLBACK".to_owned()], None));
                self.end();
            }
            Action::Ping if !self.in_transaction => {
                let mut request = BytesMut::new();
                put(&mut request, b'S', &[]);
                let seen = self.ask(request, 1);
                self.check_status(&seen);
            }
            Action::Forget { id } => {
                let Some(key) = self.cache.keys().find(|key| key.1 == id).cloned() else { return };
                let (name, _) = self.cache.remove(&key).expect("a statement");
                let mut request = BytesMut::new();
                put(&mut request, b'C', &[b"S", name.as_bytes(), b"\0"]);
                put(&mut request, b'S', &[]);
                let seen = self.ask(request, 1);
                self.check_status(&seen);
            }
            Action::Forbidden(text) => {
                let request = if text.len() % 2 == 0 { Self::query(text) } else { self.parse(text).1 };
                let seen = self.ask(request, 1);
                assert!(seen.error.is_some());
                self.note_error();
                self.check_status(&seen);
            }
            Action::Migrate { id, shape } => {
                self.server.shapes.insert(id, shape);
            }
            Action::DropOrRestore { id } => {
                let was_missing = self.server.missing.remove(&id);
                self.server.missing.extend((!was_missing).then_some(id));
            }
            Action::Reconnect if !self.in_transaction => self.reconnect(),
            Action::Fatal => self.fatal(),
            Action::Evict => {
                let bytes = super::descriptions::MAX_BYTES / 2;
                for n in 0..3_u8 {
                    let description = Description { parameters: vec![0; bytes].into(), columns: None };
                    self.shared.descriptions.learn(&vec![n].into(), description);
                }
                // The next description counts as the first one for every connection that prepares the statement from now on.
                self.first.clear();
            }
            Action::LookUp { id } => self.look_up(id),
            Action::AlterRole { has } => {
                self.server.by_role = has;
                self.limits.leave_to_role(has);
            }
            Action::FailNextBegin => self.server.fails_next_begin = true,
            _ => {}
        }
    }

    fn look_up(&mut self, id: u8) {
        let seen = self.ask(Self::query(&format!("select {id}")), 1);
        if seen.error.is_some() {
            self.note_error();
        } else {
            let told = seen.columns.as_ref().expect("columns");
            assert!(seen.rows.iter().all(|row| row.id == id && told == &row.shape.row_description()));
        }
        self.check_status(&seen);
    }

    fn execute(&mut self, kind: Kind, id: u8, value: u32) {
        let text = Self::text(kind, id);
        let Some((name, told)) = self.prepare(&text, id) else { return };
        let seen = self.ask(Self::bind(&name, value), 1);
        let columns = seen.columns.clone().unwrap_or_else(|| told.clone());
        for row in &seen.rows {
            assert_eq!((row.id, row.value), (id, value), "a row of another statement");
            assert_eq!(columns, row.shape.row_description(), "invariant 3: a row is shaped as the client was told");
            assert!(Shape::of(&told).reads(row.shape), "invariant 3: a row that the code cannot read");
        }
        if seen.error.is_some() {
            self.note_error();
        } else {
            assert_eq!((seen.tags.len(), seen.closed, seen.rows.len()), (1, 1, value as usize % 3 + 1));
            assert!(kind != Kind::Fail && (kind != Kind::Insert || self.in_transaction));
            if kind == Kind::Insert {
                self.writes.push((id, value));
            }
        }
        self.check_status(&seen);
    }

    /// An error that nobody asked for: sqlx takes it for the answer to what it asks next. The transaction, if there is
    /// one, is not committed any more.
    fn fatal(&mut self) {
        while self.step(&mut BytesMut::new()) {}
        put_error(&mut self.server.output, "FATAL", "57P01", "going away");
        while self.step(&mut BytesMut::new()) {}
        let mut last = None;
        while let Some(message) = take_whole(&mut self.to_client).expect("well-formed answers") {
            last = Some(message.tag);
        }
        assert_eq!(last, Some(b'E'));
        self.note_error();
    }

    fn reconnect(&mut self) {
        self.conversation = Conversation::new(self.shared.clone());
        (self.requests, self.answers, self.out) = Default::default();
        self.cache.clear();
        // What was still in flight is lost.
        for buffer in [&mut self.from_client, &mut self.from_server, &mut self.server.output, &mut self.to_client] {
            buffer.clear();
        }
        self.ready_seen = self.requests_sent;
    }

    fn end(&mut self) {
        self.in_transaction = false;
        self.failed = false;
        self.writes.clear();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_client_sees_what_it_would_see_on_a_connection_of_its_own(
        actions in prop::collection::vec(action(), 1..40),
        cuts in prop::collection::vec(prop_oneof![3 => 1..24_usize, 1 => 24..5000_usize], 1..20),
        order in prop_oneof![Just(Order::AsAsked), Just(Order::ParsesFirst)],
        noise in prop::bool::weighted(0.2),
        holds_reads: bool,
    ) {
        let mut world = World::with(cuts, order, noise, holds_reads);
        for action in actions {
            world.act(action);
        }
        prop_assert_eq!(&world.server.committed, &world.acknowledged);
    }
}

/// Invariant 1, and the requests behind the round trips of ARCHITECTURE.md.
#[test]
fn a_statement_is_one_request_with_its_parse_and_without_a_name() {
    let mut world = World::new(vec![7], Order::AsAsked, false);
    let select = |world: &mut World| world.execute(Kind::Select, 1, 1);
    let sent = |world: &mut World| std::mem::take(&mut world.server.log);
    select(&mut world);
    assert_eq!(sent(&mut world), "PBEPDSPBEPDBES", "described once, then executed");
    select(&mut world);
    assert_eq!(sent(&mut world), "PBEPDBES", "alone: limits, then the statement");
    world.reconnect();
    select(&mut world);
    assert_eq!(sent(&mut world), "PBEPDBES", "another connection need not ask again");

    world.act(Action::Begin { read_only: false });
    assert_eq!(sent(&mut world), "", "BEGIN is held");
    select(&mut world);
    assert_eq!(sent(&mut world), "PBEPBEPDBES", "BEGIN, SET LOCAL, the statement");
    select(&mut world);
    assert_eq!(sent(&mut world), "PDBES");
    world.prepare("select 2", 2).expect("a statement");
    assert_eq!(sent(&mut world), "PDS");
    world.act(Action::Commit);
    assert_eq!(sent(&mut world), "Q");

    world.act(Action::Begin { read_only: false });
    world.prepare("select 3", 3).expect("a statement");
    assert_eq!(sent(&mut world), "PBEPDS", "a description does not begin the transaction: limits, then Describe");
    world.act(Action::Rollback);
    assert_eq!(sent(&mut world), "");

    world.act(Action::DroppedBegin);
    world.act(Action::Ping);
    assert_eq!(sent(&mut world), "", "a BEGIN that nobody waits for is forgotten");
    let counters = world.shared.counters.now();
    assert_eq!((counters.hits, counters.misses, counters.held, counters.forgotten), (1, 3, 3, 2));
}

/// Limits that the role has by itself are not sent. A statement in front sets the others, and makes what may write
/// read-only.
#[test]
fn nothing_goes_in_front_of_a_read_that_needs_nothing() {
    let mut world = World::with(vec![7], Order::AsAsked, false, false);
    let sent = |world: &mut World| std::mem::take(&mut world.server.log);
    world.execute(Kind::Select, 1, 1);
    assert_eq!(sent(&mut world), "PBEPDSPBEPDBES", "limits, and no more");
    world.act(Action::AlterRole { has: LimitSet::ALL });
    world.execute(Kind::Select, 1, 1);
    assert_eq!(sent(&mut world), "PDBES", "the statement, and nothing else");
    world.execute(Kind::Select, 2, 1);
    assert_eq!(sent(&mut world), "PDSPDBES", "nor in front of its description");
    world.prepare("insert 3", 3).expect("a statement");
    assert_eq!(sent(&mut world), "PDS");
    world.execute(Kind::Insert, 3, 1);
    assert_eq!(sent(&mut world), "PBEPDBES", "a write is made read-only, and refused");
    world.look_up(1);
    assert_eq!(sent(&mut world), "PBEPDBES");

    // The limit of idle transactions does not apply to single statements.
    world.act(Action::AlterRole { has: LimitSet::ALL.without(LimitSet::BETWEEN_STATEMENTS) });
    world.execute(Kind::Select, 1, 1);
    assert_eq!(sent(&mut world), "PDBES");
    for n in 0..2 {
        world.act(Action::AlterRole { has: LimitSet::ALL.without(LimitSet::of(n)) });
        world.execute(Kind::Select, 1, 1);
        assert_eq!(sent(&mut world), "PBEPDBES", "one of them is missing");
    }

    let mut held = World::new(vec![7], Order::AsAsked, false);
    held.act(Action::AlterRole { has: LimitSet::ALL });
    held.execute(Kind::Select, 1, 1);
    assert_eq!(sent(&mut held), "PBEPDSPBEPDBES", "made read-only, whatever its text");
}

/// Invariant 2, at the end of a transaction.
#[test]
fn a_request_waits_until_the_server_has_rolled_back() {
    let mut world = World::new(vec![1000], Order::AsAsked, false);
    world.act(Action::Begin { read_only: true });
    world.execute(Kind::Select, 1, 1);
    let mut request = World::query("ROLLBACK");
    request.unsplit(World::bind("sqlx_s_1", 2));
    let mut out = Out::default();
    let mut reader = RequestReader::default();
    let rollback = reader.next(&mut request).expect("a well-formed request").expect("a request");
    world.conversation.on_request(rollback, &mut out).expect("a request that is understood");
    assert_eq!(out.to_server, World::query("ROLLBACK"));
    for message in [Message { tag: b'C', body: "ROLLBACK\0".into() }, Message { tag: b'Z', body: "I".into() }] {
        assert!(world.conversation.awaits_answer(), "the next request has to wait");
        world.conversation.on_answer(Answer::Message(message), &mut out).expect("answers that are due");
    }
    assert!(!world.conversation.awaits_answer() && !out.to_client.is_empty());
}

/// Invariant 3, in a transaction that has written: nothing of it is committed.
#[test]
fn rows_of_another_shape_are_withheld_and_their_transaction_is_rolled_back() {
    let mut world = World::new(vec![11], Order::AsAsked, false);
    world.execute(Kind::Select, 1, 1);
    world.act(Action::Migrate { id: 1, shape: Shape::Int8 });
    let (name, told) = world.prepare("select 1", 1).expect("a statement");
    let seen = world.ask(World::bind(&name, 5), 1);
    assert_ne!(seen.columns.expect("told anew, before the rows"), told);
    assert_eq!(seen.rows.len(), 3);

    world.act(Action::Begin { read_only: false });
    world.execute(Kind::Insert, 2, 7);
    world.act(Action::Migrate { id: 1, shape: Shape::Text });
    let seen = world.ask(World::bind(&name, 5), 1);
    assert!(seen.rows.is_empty() && seen.error.is_some_and(|error| error.contains("C0A000")));
    assert_eq!(seen.status, b'E');
    let seen = world.ask(World::query("COMMIT"), 1);
    assert!(seen.error.is_some_and(|error| error.contains("C25P02")));
    assert_eq!(seen.status, b'I');
    world.end();
    assert!(world.server.committed.is_empty());
    let counters = world.shared.counters.now();
    assert_eq!((counters.changed, counters.refused), (2, 1));

    // A new connection has the statement described again: still not as this process first saw it.
    world.act(Action::DropOrRestore { id: 1 });
    world.execute(Kind::Select, 1, 5);
    world.act(Action::DropOrRestore { id: 1 });
    world.reconnect();
    assert!(world.prepare("select 1", 1).is_none());
    world.act(Action::Migrate { id: 1, shape: Shape::Int4 });
    assert!(world.prepare("select 1", 1).is_some());
}

/// A server that answers wrongly: whatever it sends, nothing is passed on as if it were due.
#[test]
fn an_answer_that_is_not_due_ends_the_conversation() {
    enum In {
        /// No transaction; limits go in front.
        Nothing,
        /// No transaction, and nothing goes in front.
        NothingBare,
        Transaction,
    }

    let columns = Shape::Int4.row_description();
    let answer = |tag: u8| -> Answer {
        let body = match tag {
            b't' => Bytes::from_static(&[0, 1, 0, 0, 0, 23]),
            b'T' => columns.clone().into(),
            b'C' => "SELECT 1\0".into(),
            b'I' | b'Y' => {
                return Answer::Message(Message { tag: b'Z', body: if tag == b'I' { "I" } else { "T" }.into() });
            }
            _ => Bytes::new(),
        };
        Answer::Message(Message { tag, body })
    };
    // What the client asks for, and an answer whose last message is not due; `I` and `Y` stand for `ReadyForQuery`, without
    // and with a transaction.
    let execute = || World::bind("sqlx_s_1", 1);
    let describe = || World::parse_as("sqlx_s_9", "select 9");
    for (place, request, answers) in [
        (In::Nothing, execute(), "111"),
        (In::Nothing, execute(), "12CtT2"),
        (In::Nothing, execute(), "12C1tT2C3"),
        (In::Nothing, execute(), "1T"),
        (In::Nothing, execute(), "122"),
        (In::Nothing, execute(), "12C1tT2CY2"),
        (In::Nothing, describe(), "12CtTI"),
        (In::Nothing, describe(), "12C1tT1"),
        (In::NothingBare, execute(), "2"),
        (In::NothingBare, execute(), "1C"),
        (In::NothingBare, execute(), "1tT2C1"),
        (In::NothingBare, execute(), "1tT2CY2"),
        (In::NothingBare, describe(), "1tT2"),
        (In::Transaction, execute(), "1tT2CI"),
        (In::Transaction, World::query("ROLLBACK"), "E"),
        (In::Transaction, World::query("ROLLBACK"), "CY"),
        (In::Transaction, World::query("COMMIT"), "1"),
    ] {
        let mut world = World::with(vec![1000], Order::AsAsked, false, false);
        world.execute(Kind::Select, 1, 1);
        match place {
            In::Nothing => {}
            In::NothingBare => world.act(Action::AlterRole { has: LimitSet::ALL }),
            In::Transaction => {
                world.act(Action::Begin { read_only: false });
                world.execute(Kind::Select, 1, 1);
            }
        }
        let (mut request, mut out) = (request, Out::default());
        let asked = RequestReader::default().next(&mut request).expect("a well-formed request").expect("a request");
        world.conversation.on_request(asked, &mut out).expect("a request that is understood");
        let mut results: Vec<_> =
            answers.bytes().map(|tag| world.conversation.on_answer(answer(tag), &mut out)).collect();
        assert!(results.pop().expect("an answer").is_err(), "{answers}: the last message is taken");
        assert!(results.iter().all(Result::is_ok), "{answers}: {results:?}");
    }
}
