//! The descriptions of statements, shared by all connections of one door and bounded in bytes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::columns::Description;
use super::frame::cut_text;
use crate::guard;

/// The most bytes that texts and descriptions of statements may take together.
pub const MAX_BYTES: usize = 8 << 20;

/// A statement and the server's latest description of it.
#[derive(Debug)]
pub struct Described {
    /// The rest of its Parse message after the name: text, NUL, parameter types.
    pub parse: Bytes,
    /// Its parameters and columns.
    pub description: Description,
    /// Whether its text shows that it only reads, as the guard sees it.
    pub only_reads: bool,
}

impl Described {
    /// Bytes it takes.
    pub fn size(&self) -> usize {
        self.parse.len() + self.description.size()
    }
}

/// Statements by their Parse message.
#[derive(Debug, Default)]
pub struct Descriptions {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    known: HashMap<Bytes, Known>,
    bytes: usize,
    clock: u64,
}

#[derive(Debug)]
struct Known {
    /// The first description that this process saw: the one that its code was written for.
    first: Description,
    /// The latest description; `None` once it has become doubtful.
    last: Option<Arc<Described>>,
    used: u64,
}

impl Known {
    fn size(&self, parse: &Bytes) -> usize {
        /// Of the entry itself, roughly.
        const ENTRY: usize = 256;
        // The text is in the key and, shared with the connections, in `last`.
        let last = self.last.as_ref().map_or(0, |last| last.size());
        ENTRY + parse.len() + self.first.size() + last
    }
}

/// Whether the text of a Parse shows that its statement only reads.
fn only_reads(parse: &Bytes) -> bool {
    cut_text(parse).is_some_and(|(text, _)| std::str::from_utf8(&text).is_ok_and(guard::only_reads))
}

impl Descriptions {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The latest description of a statement.
    pub fn get(&self, parse: &Bytes) -> Option<Arc<Described>> {
        let mut inner = self.lock();
        inner.clock += 1;
        let now = inner.clock;
        let known = inner.known.get_mut(parse)?;
        known.used = now;
        known.last.clone()
    }

    /// Records a new description of a statement. Returns `None` if code that was written for the first description cannot
    /// read it. The second value counts the statements that were dropped to make room.
    pub fn learn(&self, parse: &Bytes, description: Description) -> (Option<Arc<Described>>, u64) {
        let only_reads = only_reads(parse);
        let mut inner = self.lock();
        inner.clock += 1;
        let now = inner.clock;
        // A copy, because a slice would keep the whole buffer that was read into.
        let parse = Bytes::copy_from_slice(parse);
        let first = match inner.known.get(&parse) {
            Some(known) if !known.first.is_readable_as(&description) => return (None, 0),
            Some(known) => known.first.clone(),
            None => description.clone(),
        };
        let described = Arc::new(Described { parse: parse.clone(), description, only_reads });
        let known = Known { first, last: Some(described.clone()), used: now };
        inner.bytes += known.size(&parse);
        if let Some(before) = inner.known.insert(parse.clone(), known) {
            inner.bytes -= before.size(&parse);
        }
        let mut evicted = 0;
        while inner.bytes > MAX_BYTES {
            let Some(oldest) = inner.known.iter().min_by_key(|(_, known)| known.used).map(|(parse, _)| parse.clone())
            else {
                break;
            };
            if let Some(known) = inner.known.remove(&oldest) {
                inner.bytes -= known.size(&oldest);
                evicted += 1;
            }
        }
        (Some(described), evicted)
    }

    /// Drops a statement's latest description, so that it is described again the next time it is prepared. The first one is
    /// kept for comparison. Returns whether there was one to drop.
    pub fn doubt(&self, parse: &Bytes) -> bool {
        let mut inner = self.lock();
        let Some(known) = inner.known.get_mut(parse) else { return false };
        let Some(last) = known.last.take() else { return false };
        inner.bytes -= last.size();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(size: usize) -> Description {
        Description { parameters: vec![0; size].into(), columns: None }
    }

    #[test]
    fn bytes_are_bounded_and_counted_right() {
        let descriptions = Descriptions::default();
        let mut evicted = 0;
        for n in 0..200_u32 {
            let parse = Bytes::from(n.to_string());
            let (described, more) = descriptions.learn(&parse, description(100_000));
            assert!(described.is_some());
            evicted += more;
            if n % 3 == 0 {
                descriptions.doubt(&parse);
                descriptions.doubt(&parse);
            }
            let inner = descriptions.lock();
            assert!(inner.bytes <= MAX_BYTES);
            assert_eq!(inner.bytes, inner.known.iter().map(|(parse, known)| known.size(parse)).sum::<usize>());
        }
        assert!(evicted > 100);
        assert!(descriptions.get(&Bytes::from("198")).is_none(), "doubtful");
        assert!(descriptions.get(&Bytes::from("199")).is_some());
        assert!(descriptions.get(&Bytes::from("1")).is_none(), "forgotten");
    }

    #[test]
    fn the_first_description_outlives_doubt() {
        let descriptions = Descriptions::default();
        let parse = Bytes::from_static(b"select 1\0\0\0");
        assert!(descriptions.learn(&parse, description(2)).0.is_some());
        assert!(descriptions.doubt(&parse));
        assert!(descriptions.get(&parse).is_none());
        assert!(descriptions.learn(&parse, description(6)).0.is_none(), "other parameters than at first");
        assert!(descriptions.learn(&parse, description(2)).0.is_some());
        assert!(descriptions.get(&parse).is_some());
    }
}
