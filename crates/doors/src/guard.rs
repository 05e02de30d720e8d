//! Which statements may travel through a transaction pooler.
//!
//! A statement is refused if it would end the transaction that pins the server, so that later statements could run on
//! another client's server. It is also refused if it would leave state behind on a server that others use next. This is a
//! guard against mistakes, not against an attacker: it reads tokens, it does not parse SQL, and it cannot see into
//! functions of our own.

use std::collections::HashSet;
use std::sync::{LazyLock, PoisonError, RwLock};

/// Statements that neither end a transaction nor, by themselves, leave anything on the server.
const ALLOWED: [&str; 8] = ["select", "with", "insert", "update", "delete", "merge", "values", "table"];

/// Functions that leave state on the server's session, or hold it beyond the transaction.
const SESSION_FUNCTIONS: [&str; 14] = [
    "set_config",
    "setseed",
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
    "pg_advisory_unlock",
    "pg_advisory_unlock_shared",
    "pg_advisory_unlock_all",
    "pg_terminate_backend",
    "dblink_connect",
    "dblink_connect_u",
    "lo_import",
    "lo_export",
];

/// Keywords that make a statement write, wherever they stand in it.
const WRITING_WORDS: [&str; 4] = ["insert", "update", "delete", "merge"];

/// Built-in functions, and those of PostgreSQL's extensions, that write.
const WRITING_FUNCTIONS: [&str; 12] = [
    "nextval",
    "setval",
    "lo_creat",
    "lo_create",
    "lo_from_bytea",
    "lo_open",
    "lo_put",
    "lo_truncate",
    "lo_truncate64",
    "lo_unlink",
    "lowrite",
    "dblink_exec",
];

/// The most bytes of texts that are remembered. A program has far fewer, unless it generates statements.
const MAX_BYTES: usize = 1 << 20;

/// Texts that passed, so that each is checked only once.
static PASSED: LazyLock<RwLock<Passed>> = LazyLock::new(RwLock::default);

#[derive(Debug, Default)]
struct Passed {
    texts: HashSet<Box<str>>,
    bytes: usize,
}

impl Passed {
    /// Forgets all texts when there is no room; those in use are added again at once.
    fn add(&mut self, sql: &str) {
        if self.bytes + sql.len() > MAX_BYTES {
            *self = Self::default();
        }
        if sql.len() <= MAX_BYTES && self.texts.insert(sql.into()) {
            self.bytes += sql.len();
        }
    }
}

/// Checks a statement.
///
/// # Errors
/// A sentence: what is refused, and what to do instead.
pub fn check(sql: &str) -> Result<(), String> {
    if PASSED.read().unwrap_or_else(PoisonError::into_inner).texts.contains(sql) {
        return Ok(());
    }
    read(sql)?;
    PASSED.write().unwrap_or_else(PoisonError::into_inner).add(sql);
    Ok(())
}

/// As [`check`], without remembering texts that passed.
fn read(sql: &str) -> Result<(), String> {
    let mut tokens = Tokens::of(sql);
    let first = tokens.next().unwrap_or_default();
    if !is_one_of(first, &ALLOWED) {
        return Err(format!(
            "`{first}` is not allowed through the transaction pooler, because it could end the transaction or change a shared server. \
             Allowed are {}. Use the direct connection for anything else.",
            ALLOWED.join(", ")
        ));
    }
    let mut previous = first;
    for token in tokens {
        if is_one_of(token, &SESSION_FUNCTIONS) {
            return Err(format!(
                "`{token}` is not allowed through the transaction pooler, because its effect outlives the transaction on a shared server. \
                 Use its transaction-scoped form, or the direct connection."
            ));
        }
        if token.eq_ignore_ascii_case("into") && !is_one_of(previous, &["insert", "merge"]) {
            return Err("`select … into` is not allowed through the transaction pooler, because it creates a table. Use insert.".to_owned());
        }
        previous = token;
    }
    Ok(())
}

/// Whether this is a plain `select`, which can only read (but for the functions it calls).
/// Anything that could carry a write (`with … insert`) is not.
#[must_use]
pub fn is_plain_select(sql: &str) -> bool {
    Tokens::of(sql).next().is_some_and(|word| word.eq_ignore_ascii_case("select"))
}

/// Whether the text of a statement that passed [`check`] shows that it only reads, apart from functions of our own that it
/// calls. In doubt it is `false`: a column named like a writing keyword costs its statement a few microseconds.
#[must_use]
pub fn only_reads(sql: &str) -> bool {
    let mut tokens = Tokens::of(sql);
    let mut previous = "";
    while let Some(token) = tokens.next() {
        let locks_rows = previous.eq_ignore_ascii_case("for") && is_one_of(token, &["no", "key", "share"]);
        if is_one_of(token, &WRITING_FUNCTIONS) || !tokens.is_quoted && (locks_rows || is_one_of(token, &WRITING_WORDS))
        {
            return false;
        }
        previous = if tokens.is_quoted { "" } else { token };
    }
    true
}

/// Compares as PostgreSQL does keywords and unquoted names: only A to Z have a lower case.
fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// The words of a statement; strings, comments, numbers and punctuation are skipped.
struct Tokens<'s> {
    rest: &'s str,
    /// Whether the last one was in double quotes: a name, not a keyword.
    is_quoted: bool,
}

impl<'s> Tokens<'s> {
    fn of(sql: &'s str) -> Self {
        Self { rest: sql, is_quoted: false }
    }
}

impl<'s> Iterator for Tokens<'s> {
    type Item = &'s str;

    fn next(&mut self) -> Option<&'s str> {
        loop {
            let first = self.rest.chars().next()?;
            if let Some(comment) = self.rest.strip_prefix("--") {
                self.rest = comment.split_once('\n').map_or("", |(_, rest)| rest);
            } else if let Some(comment) = self.rest.strip_prefix("/*") {
                self.rest = after_block_comment(comment);
            } else if first == '\'' {
                self.rest = after_quote(&self.rest[1..], '\'').1;
            } else if first == '"' {
                let (name, rest) = after_quote(&self.rest[1..], '"');
                (self.rest, self.is_quoted) = (rest, true);
                return Some(name);
            } else if first == '$' {
                self.rest = after_dollar(&self.rest[1..]);
            } else if first.is_alphanumeric() || first == '_' {
                let end =
                    self.rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$').unwrap_or(self.rest.len());
                let (word, rest) = self.rest.split_at(end);
                // E'…' strings escape quotes with a backslash; all other prefixes behave as plain strings.
                if word.eq_ignore_ascii_case("e") && rest.starts_with('\'') {
                    self.rest = after_escape_string(&rest[1..]);
                    continue;
                }
                (self.rest, self.is_quoted) = (rest, false);
                if !first.is_numeric() {
                    return Some(word);
                }
            } else {
                self.rest = &self.rest[first.len_utf8()..];
            }
        }
    }
}

/// Block comments nest in PostgreSQL.
fn after_block_comment(mut text: &str) -> &str {
    let mut depth = 1;
    while depth > 0 {
        match (text.find("/*"), text.find("*/")) {
            (Some(open), Some(close)) if open < close => {
                depth += 1;
                text = &text[open + 2..];
            }
            (_, Some(close)) => {
                depth -= 1;
                text = &text[close + 2..];
            }
            (_, None) => return "",
        }
    }
    text
}

/// The quoted text, and what follows the closing quote; a doubled quote stands for a single one.
fn after_quote(text: &str, quote: char) -> (&str, &str) {
    let mut from = 0;
    while let Some(at) = text[from..].find(quote).map(|at| from + at) {
        if text[at + 1..].starts_with(quote) {
            from = at + 2;
        } else {
            return (&text[..at], &text[at + 1..]);
        }
    }
    (text, "")
}

fn after_escape_string(text: &str) -> &str {
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => {
                characters.next();
            }
            '\'' => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

/// Skips `$tag$…$tag$`; of a parameter such as `$1`, only the dollar sign.
fn after_dollar(text: &str) -> &str {
    let Some(end) = text.find(|c: char| !c.is_alphanumeric() && c != '_') else {
        return text;
    };
    if !text[end..].starts_with('$') || text.starts_with(|c: char| c.is_ascii_digit()) {
        return text;
    }
    let tag = format!("${}$", &text[..end]);
    text[end + 1..].split_once(&tag).map_or("", |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_queries_through() {
        for sql in [
            "select 1",
            "  -- why\n /* a /* nested */ comment */ SELECT $1::text || 'commit; rollback'",
            "with x as (insert into stm.jobs (id) values ($1) returning id) select id from x",
            "insert into t values (1) on conflict do nothing",
            "merge into t using s on true when matched then do nothing",
            "update t set a = E'it\\'s into' where b = $tag$ select into $tag$",
            "select pg_advisory_xact_lock($1)",
            "select $1::int4 + 1",
        ] {
            assert_eq!(check(sql), Ok(()), "{sql}");
        }
    }

    #[test]
    fn refuses_what_ends_the_transaction_or_stays_behind() {
        for sql in [
            "",
            "commit",
            "COMMIT AND CHAIN",
            "rollback",
            "/* x */ end",
            "abort",
            "begin",
            "savepoint s",
            "prepare transaction 'x'",
            "set statement_timeout = 0",
            "reset all",
            "discard all",
            "listen x",
            "unlisten *",
            "deallocate all",
            "prepare p as select 1",
            "execute p",
            "declare c cursor with hold for select 1",
            "copy t to stdout",
            "create temp table t (a int)",
            "do $$ begin end $$",
            "call p()",
            "lock table t",
            "explain analyze create table t as select 1",
            "select set_config('a', 'b', false)",
            "select pg_catalog.\"set_config\"('a', 'b', false)",
            "select pg_advisory_lock(1)",
            "select setseed(0.5)",
            "select 1 into temp t",
            "with x as (select 1) select * into t from x",
            "select 'a' --\n, SET_CONFIG('a', 'b', true)",
        ] {
            assert!(check(sql).is_err(), "{sql}");
        }
    }

    #[test]
    fn tells_what_reads_from_what_may_write() {
        for sql in [
            "select 1",
            "with x as (select 1) select * from x",
            "values (1)",
            "table stm.jobs",
            "select updated_at, update_at, deleted, inserted_by, merge_id from t",
            "select \"insert\", t.\"update\", \"DELETE\" from t",
            "select 'insert into t', $tag$ delete $tag$, e'\\'merge' from t",
            "select 1 -- update t\n /* delete from t */",
            "select \"for\" share from t",
            "select shares, no, key from t",
            "select id from stm.f_v1($1)",
            "select currval('s')",
        ] {
            assert_eq!(check(sql), Ok(()), "{sql}");
            assert!(only_reads(sql), "{sql}");
        }
        for sql in [
            "insert into t values (1)",
            "UPDATE t set a = 1",
            "delete from t",
            "merge into t using s on true when matched then do nothing",
            "with x as (insert into t values (1) returning id) select id from x",
            "with x as (select 1), y as (/* why */ DELETE from t returning 1) select * from y",
            "with x as (update t set a = 1 returning a) table x",
            "select a from t for update",
            "select a from t for no key update",
            "select a from t for share",
            "select a from t FOR /* which */ KEY\nSHARE",
            "select nextval('s')",
            "select pg_catalog.\"setval\"('s', 1)",
            "select lo_create(0)",
            "select update from t",
        ] {
            assert_eq!(check(sql), Ok(()), "{sql}");
            assert!(!only_reads(sql), "{sql}");
        }
    }

    #[test]
    fn what_passed_is_remembered_within_bounds() {
        let mut passed = Passed::default();
        for n in 0..100 {
            for _ in 0..2 {
                passed.add(&format!("select {n} -- {}", "x".repeat(MAX_BYTES / 50)));
                assert_eq!(passed.bytes, passed.texts.iter().map(|text| text.len()).sum::<usize>());
                assert!(passed.bytes <= MAX_BYTES && !passed.texts.is_empty());
            }
        }
        passed.add(&" ".repeat(MAX_BYTES + 1));
        assert!(passed.texts.is_empty());

        let (good, bad) = ("select 'passed'", "select 'passed' into t");
        for _ in 0..2 {
            assert_eq!(check(good), Ok(()));
            assert!(check(bad).is_err());
        }
        let is_known = |sql: &str| PASSED.read().unwrap().texts.contains(sql);
        assert!(is_known(good) && !is_known(bad));
    }

    #[test]
    fn any_text_is_read_to_its_end() {
        for sql in ["'", "\"", "$a$", "/*", "--", "e'\\", "select 'ä''ö' \"ü\" é $ü$ß", "$1", "$"] {
            let _verdict = check(sql);
            assert!(Tokens::of(sql).count() <= sql.len());
        }
    }
}
