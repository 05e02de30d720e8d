//! What the relay has done since the process started.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$what:meta])+ $name:ident),+ $(,)?) => {
        /// The counters, shared by all connections of a relay.
        #[derive(Debug, Default)]
        pub struct Counters { $(pub $name: Counter),+ }

        /// The counters at one moment.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct RelayCounters { $($(#[$what])+ pub $name: u64),+ }

        impl Counters {
            pub fn now(&self) -> RelayCounters {
                RelayCounters { $($name: self.$name.get()),+ }
            }
        }

        impl RelayCounters {
            /// Names and values, for reports.
            #[must_use]
            pub fn entries(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),+]
            }
        }
    };
}

counters! {
    /// Statements described from memory.
    hits,
    /// Statements that the server had to describe.
    misses,
    /// Executions for which the server's description differed from the one that the client had.
    changed,
    /// Requests that were not passed on, and executions whose rows were withheld.
    refused,
    /// Descriptions and names that were dropped to bound memory, or because they had become doubtful.
    evicted,
    /// Transactions whose BEGIN was held back until their first statement.
    held,
    /// Such transactions that ended without a statement: nothing of them was ever sent.
    forgotten,
}
