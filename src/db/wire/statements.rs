//! The statements one client connection has prepared: by its names, which never leave this process.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::descriptions::Described;

/// The most a connection may have. sqlx keeps the last hundred it used and closes the others, but forgets the name of
/// one whose caller went away while it was prepared.
const MAX_STATEMENTS: usize = 256;

#[derive(Debug, Default)]
pub struct Statements {
    named: HashMap<Bytes, Statement>,
    clock: u64,
}

#[derive(Debug)]
struct Statement {
    described: Arc<Described>,
    used: u64,
}

impl Statements {
    /// Adds or replaces a statement. Is another one forgotten for it, the one that was used longest ago?
    pub fn insert(&mut self, name: &Bytes, described: Arc<Described>) -> bool {
        self.clock += 1;
        // A copy: what was read must not keep its whole buffer in memory.
        self.named.insert(Bytes::copy_from_slice(name), Statement { described, used: self.clock });
        if self.named.len() <= MAX_STATEMENTS {
            return false;
        }
        let oldest = self.named.iter().min_by_key(|(_, statement)| statement.used).map(|(name, _)| name.clone());
        oldest.is_some_and(|name| self.named.remove(&name).is_some())
    }

    /// A statement that is about to be executed, as the client knows it.
    pub fn get(&mut self, name: &Bytes) -> Option<Arc<Described>> {
        self.clock += 1;
        let statement = self.named.get_mut(name)?;
        statement.used = self.clock;
        Some(statement.described.clone())
    }

    pub fn remove(&mut self, name: &Bytes) {
        self.named.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::super::columns::Description;
    use super::*;

    #[test]
    fn the_least_recently_used_is_forgotten() {
        let described = Arc::new(Described {
            parse: Bytes::new(),
            description: Description { parameters: Bytes::new(), columns: None },
        });
        let mut statements = Statements::default();
        let name = |n: usize| Bytes::from(n.to_string());
        for n in 0..MAX_STATEMENTS {
            assert!(!statements.insert(&name(n), described.clone()));
        }
        assert!(statements.get(&name(0)).is_some());
        assert!(statements.insert(&name(MAX_STATEMENTS), described));
        assert!(statements.get(&name(0)).is_some() && statements.get(&name(1)).is_none());
        statements.remove(&name(0));
        assert!(statements.get(&name(0)).is_none());
    }
}
