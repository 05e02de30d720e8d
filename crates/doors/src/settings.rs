//! The settings of both doors.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How statements travel to the transaction pooler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PoolerWire {
    /// Through a relay in this process: one round trip for a read, two for a write of one statement.
    #[default]
    Pipelined,
    /// As sqlx speaks: three round trips for a read, four for a write of one statement.
    Plain,
}

impl PoolerWire {
    /// Every way, the default first.
    pub const ALL: [Self; 2] = [Self::Pipelined, Self::Plain];

    /// The word for it in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pipelined => "pipelined",
            Self::Plain => "plain",
        }
    }
}

impl fmt::Display for PoolerWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the time limits of the pooler door's statements come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PoolerLimits {
    /// From the defaults of the role, as far as every server behind the pooler has them. The others are sent with each
    /// statement.
    #[default]
    Role,
    /// All are sent with each statement: for a role that other clients of the pooler use too, since they may change the
    /// settings of a shared server.
    Statement,
}

impl PoolerLimits {
    /// Every way, the default first.
    pub const ALL: [Self; 2] = [Self::Role, Self::Statement];

    /// The word for it in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Statement => "statement",
        }
    }
}

/// Settings of [`Pooler`](crate::Pooler).
#[derive(Debug, Clone, Copy)]
pub struct PoolerSettings {
    /// Client connections to the pooler. They are cheap: the pooler shares its servers among them.
    pub max_connections: u32,
    /// The longest a statement may run.
    pub statement_timeout: Duration,
    /// How statements travel.
    pub wire: PoolerWire,
    /// Where time limits come from.
    pub limits: PoolerLimits,
    /// Whether single reads are made read-only on the server, whatever their text, by a statement in front of each.
    /// Without it, only those whose text shows a write are, so a function that another one calls could write.
    pub holds_reads: bool,
    /// Tells this door's connections apart in `pg_stat_activity`, unless the pooler drops it.
    pub application_name: &'static str,
}

impl PoolerSettings {
    /// The range of [`max_connections`](Self::max_connections).
    pub const MAX_CONNECTIONS: RangeInclusive<u32> = 1..=500;
}

impl Default for PoolerSettings {
    fn default() -> Self {
        Self {
            max_connections: 32,
            statement_timeout: Duration::from_secs(5),
            wire: PoolerWire::default(),
            limits: PoolerLimits::default(),
            // So that tests meet a misuse before it ships.
            holds_reads: cfg!(debug_assertions),
            application_name: "pooler",
        }
    }
}

/// Settings of [`Direct`](crate::Direct).
#[derive(Debug, Clone, Copy)]
pub struct DirectSettings {
    /// Connections of this process, whatever it uses them for. Each is a server.
    pub max_connections: u32,
    /// The longest a statement may run.
    pub statement_timeout: Duration,
    /// Tells this door's connections apart in `pg_stat_activity`.
    pub application_name: &'static str,
    /// Statements that every new session begins with, such as `set jit = off`.
    pub session: &'static [&'static str],
}

impl DirectSettings {
    /// The most connections: a small project on Supabase has about 15.
    pub const MOST_CONNECTIONS: u32 = 15;
}

impl Default for DirectSettings {
    fn default() -> Self {
        Self {
            max_connections: Self::MOST_CONNECTIONS,
            statement_timeout: Duration::from_secs(5),
            application_name: "direct",
            session: &[],
        }
    }
}
