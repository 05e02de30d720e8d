//! The statements that one client connection has prepared, by their names, which never leave this process.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::descriptions::Described;

/// The most statements of a connection. sqlx keeps the last hundred it used and closes the others, but forgets the name
/// of a statement whose caller went away while it was being prepared.
const MAX_STATEMENTS: usize = 256;

/// The most bytes of their texts and descriptions, though most are shared with other connections.
const MAX_BYTES: usize = 8 << 20;

#[derive(Debug, Default)]
pub struct Statements {
    named: HashMap<Bytes, Statement>,
    bytes: usize,
    clock: u64,
}

#[derive(Debug)]
struct Statement {
    described: Arc<Described>,
    used: u64,
}

impl Statements {
    /// Adds or replaces a statement. Drops the least recently used ones if there is no room, and returns how many.
    pub fn insert(&mut self, name: &Bytes, described: Arc<Described>) -> u64 {
        self.clock += 1;
        self.remove(name);
        self.bytes += described.size();
        // A copy, because a slice would keep the whole buffer that was read into.
        self.named.insert(Bytes::copy_from_slice(name), Statement { described, used: self.clock });
        let mut forgotten = 0;
        while self.named.len() > MAX_STATEMENTS || self.bytes > MAX_BYTES && self.named.len() > 1 {
            let oldest = self.named.iter().min_by_key(|(_, statement)| statement.used).map(|(name, _)| name.clone());
            let Some(oldest) = oldest else { break };
            self.remove(&oldest);
            forgotten += 1;
        }
        forgotten
    }

    /// A statement that is about to be executed, as the client knows it.
    pub fn get(&mut self, name: &Bytes) -> Option<Arc<Described>> {
        self.clock += 1;
        let statement = self.named.get_mut(name)?;
        statement.used = self.clock;
        Some(statement.described.clone())
    }

    pub fn remove(&mut self, name: &Bytes) {
        if let Some(statement) = self.named.remove(name) {
            self.bytes -= statement.described.size();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::columns::Description;
    use super::*;

    fn described(size: usize) -> Arc<Described> {
        Arc::new(Described {
            parse: vec![0; size].into(),
            description: Description { parameters: Bytes::new(), columns: None },
            only_reads: true,
        })
    }

    fn name(n: usize) -> Bytes {
        Bytes::from(n.to_string())
    }

    #[test]
    fn the_least_recently_used_is_forgotten() {
        let mut statements = Statements::default();
        for n in 0..MAX_STATEMENTS {
            assert_eq!(statements.insert(&name(n), described(1)), 0);
        }
        assert!(statements.get(&name(0)).is_some());
        assert_eq!(statements.insert(&name(MAX_STATEMENTS), described(1)), 1);
        assert!(statements.get(&name(0)).is_some() && statements.get(&name(1)).is_none());
        statements.remove(&name(0));
        assert!(statements.get(&name(0)).is_none());
    }

    #[test]
    fn bytes_are_bounded() {
        let mut statements = Statements::default();
        let forgotten: u64 = (0..20).map(|n| statements.insert(&name(n), described(1 << 20))).sum();
        assert_eq!((forgotten, statements.named.len(), statements.bytes), (12, 8, 8 << 20));
        // A statement that alone is larger than the limit is kept.
        assert_eq!(statements.insert(&name(20), described(MAX_BYTES + 1)), 8);
        assert!(statements.get(&name(20)).is_some());
        assert_eq!(statements.insert(&name(20), described(1)), 0);
        assert_eq!(statements.bytes, 1);
    }
}
