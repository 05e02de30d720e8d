//! What is sent in front of a statement, in the same request: messages of the extended protocol. If any of them fails, the
//! server skips the statement.
//!
//! In front of a transaction's first statement that is the text that opens the transaction. In front of a statement outside
//! BEGIN and COMMIT it is what limits that statement, in the implicit transaction that ends with its Sync.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::frame::put;
use crate::limits::{LimitSet, TimeLimits};

/// Commands that go ahead of a statement, in the same request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Parse, Bind and Execute of each command.
    pub wire: Bytes,
    /// The answer to each: its command tag.
    pub tags: Vec<&'static str>,
}

impl Opening {
    /// One command that returns a row, which is not passed on.
    pub fn of(command: &str) -> Self {
        Self::from_commands([(command, "SELECT 1")])
    }

    fn from_commands<'a>(commands: impl IntoIterator<Item = (&'a str, &'static str)>) -> Self {
        let (mut wire, mut tags) = (BytesMut::new(), Vec::new());
        for (command, tag) in commands {
            put(&mut wire, b'P', &[b"\0", command.as_bytes(), b"\0", &[0, 0]]);
            put(&mut wire, b'B', &[b"\0\0", &[0; 6]]);
            put(&mut wire, b'E', &[b"\0", &[0; 4]]);
            tags.push(tag);
        }
        Self { wire: wire.freeze(), tags }
    }

    /// Accepts `begin [read only | read write | isolation level …][; set local name = value]…` and nothing else:
    /// whatever could do more is not held back.
    pub fn parse(sql: &str) -> Option<Self> {
        /// Which words may follow BEGIN.
        const MODES: [&str; 13] = [
            "transaction",
            "work",
            "read",
            "only",
            "write",
            "isolation",
            "level",
            "serializable",
            "repeatable",
            "committed",
            "uncommitted",
            "not",
            "deferrable",
        ];
        let is_one_of = |word: &str, words: &[&str]| words.iter().any(|known| word.eq_ignore_ascii_case(known));
        let mut commands = Vec::new();
        for (n, command) in sql.trim_end_matches([';', ' ']).split(';').map(str::trim).enumerate() {
            if !command.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" _=.,".contains(&byte)) {
                return None;
            }
            let mut words = command.split_ascii_whitespace();
            if n == 0 {
                if !is_one_of(words.next()?, &["begin"]) || !words.all(|word| is_one_of(word.trim_matches(','), &MODES))
                {
                    return None;
                }
                commands.push((command, "BEGIN"));
            } else {
                if !is_one_of(words.next()?, &["set"]) || !is_one_of(words.next()?, &["local"]) {
                    return None;
                }
                commands.push((command, "SET"));
            }
        }
        Some(Self::from_commands(commands))
    }
}

/// What goes in front of a statement outside a transaction: it makes the statement read-only where necessary, and sets the
/// limits that the role does not have by itself.
#[derive(Debug)]
pub struct Fronts {
    pub limits: Arc<TimeLimits>,
    /// Every statement is made read-only, whatever its text.
    holds_reads: bool,
    /// Indexed by the limits to be set: for a statement that is made read-only, and for one that is not.
    read_only: [Option<Opening>; LimitSet::SETS],
    plain: [Option<Opening>; LimitSet::SETS],
}

impl Fronts {
    pub fn new(limits: Arc<TimeLimits>, holds_reads: bool) -> Self {
        let fronts = |first: Option<(&'static str, String)>| {
            LimitSet::every().map(|set| {
                // The limit of idle transactions never applies to a statement that runs alone.
                let set = set.without(LimitSet::BETWEEN_STATEMENTS);
                let limits = limits.settings(set).map(|(name, millis)| (name, millis.to_string()));
                let calls = first.clone().into_iter().chain(limits);
                let calls: Vec<_> =
                    calls.map(|(name, value)| format!("set_config('{name}', '{value}', true)")).collect();
                (!calls.is_empty()).then(|| Opening::of(&format!("select {}", calls.join(", "))))
            })
        };
        let read_only = fronts(Some(("transaction_read_only", "on".to_owned())));
        let plain = fronts(None);
        Self { limits, holds_reads, read_only, plain }
    }

    /// What goes in front of a statement; `None` if it needs nothing.
    pub fn of(&self, may_write: bool) -> Option<&Opening> {
        let fronts = if may_write || self.holds_reads { &self.read_only } else { &self.plain };
        fronts[self.limits.set_by_door().index()].as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understands_what_opens_a_transaction() {
        assert_eq!(Opening::parse("BEGIN").unwrap().tags, ["BEGIN"]);
        assert_eq!(
            Opening::parse("begin isolation level repeatable read, read only; set local a.b = 1;").unwrap().tags,
            ["BEGIN", "SET"]
        );
        assert_eq!(Opening::parse("begin read only; set local x = 5000").unwrap().tags, ["BEGIN", "SET"]);
    }

    #[test]
    fn understands_nothing_else() {
        for sql in [
            "",
            ";",
            "begin; insert into t values (1)",
            "begin; set a = 1",
            "begin; set local a = 'x;y'",
            "begin; set local a = $$1$$",
            "begin -- x",
            "begin/**/",
            "begin; commit",
            "begin;; set local a = 1",
            "begin read only; set session a = 1",
            "start transaction",
            "commit",
        ] {
            assert_eq!(Opening::parse(sql), None, "{sql}");
        }
    }
}
