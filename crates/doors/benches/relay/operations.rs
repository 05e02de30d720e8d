//! What is measured, and the ways it is done.

use std::time::Duration;

use doors::url::{ConnectionString, Secret};
use doors::{Direct, DirectSettings, Pooler, PoolerSettings, PoolerWire, Tx};
use sqlx::Executor;
use sqlx::Postgres;

use testing::{Database, execute};

/// Rows of the table; spread over so many, updates do not wait for each other.
pub const ROWS: usize = 10_240;

const SELECT: &str = "select id, name, visits from public.bench_relay where id = $1";
const LOCK: &str = "select id, name, visits from public.bench_relay where id = $1 for no key update";
const UPDATE: &str = "update public.bench_relay set visits = visits + 1 where id = $1 returning id, name, visits";

type Row = (i64, String, i64);

/// A table of its own, with room for updates on every page.
pub async fn create_table(database: &Database) {
    let mut session = database.session().await;
    let table = format!(
        "create table public.bench_relay (id bigint primary key, name text not null, visits bigint not null)
             with (fillfactor = 50);
         insert into public.bench_relay select n, 'Clara Cleans ' || n, 0 from generate_series(0, {ROWS} - 1) n"
    );
    execute(&mut session, &table).await;
    execute(&mut session, "vacuum (analyze) public.bench_relay").await;
    execute(&mut session, "checkpoint").await;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// A statement by itself.
    Read,
    /// A transaction of one select, ended by dropping it.
    ReadTx,
    /// A transaction of one update, committed.
    WriteOne,
    /// A row locked, then updated, and committed.
    WriteTwo,
}

impl Operation {
    pub const ALL: [Self; 4] = [Self::Read, Self::ReadTx, Self::WriteOne, Self::WriteTwo];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::ReadTx => "read tx",
            Self::WriteOne => "write 1",
            Self::WriteTwo => "write 2",
        }
    }

    async fn by_itself(door: impl Executor<'_, Database = Postgres>, id: i64) -> sqlx::Result<()> {
        sqlx::query_as::<_, Row>(SELECT).bind(id).fetch_one(door).await.map(drop)
    }

    async fn within<D: doors::Door>(self, mut tx: Tx<D>, id: i64) -> sqlx::Result<()> {
        let statements: &[&'static str] = match self {
            Self::Read | Self::ReadTx => &[SELECT],
            Self::WriteOne => &[UPDATE],
            Self::WriteTwo => &[LOCK, UPDATE],
        };
        for statement in statements {
            sqlx::query_as::<_, Row>(*statement).bind(id).fetch_one(&mut tx).await?;
        }
        match self {
            Self::Read | Self::ReadTx => Ok(()),
            Self::WriteOne | Self::WriteTwo => tx.commit().await,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    Direct,
    Plain,
    Pipelined,
    /// As a role that has the time limits by itself.
    PlainOfRole,
    PipelinedOfRole,
}

impl Way {
    pub const ALL: [Self; 3] = [Self::Direct, Self::Plain, Self::Pipelined];
    /// Those whose processor time is measured.
    pub const MEASURED: [Self; 5] =
        [Self::Direct, Self::Plain, Self::Pipelined, Self::PlainOfRole, Self::PipelinedOfRole];
}

/// A door, on one of the ways.
#[derive(Clone)]
pub enum Door {
    Direct(Direct),
    Pooler(Pooler),
}

impl Door {
    /// Of the service; within a runtime. The ports are those of PostgreSQL and of the pooler, or of proxies to them.
    pub fn open(way: Way, database: &Database, ports: [u16; 2], connections: usize) -> Self {
        const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
        let url = |secret, url: &str, port| {
            let mut url = url::Url::parse(url).expect("a URL");
            url.set_port(Some(port)).expect("a URL with a host");
            ConnectionString::parse(secret, url.as_str()).expect("a URL")
        };
        let connections = u32::try_from(connections).expect("a few");
        let wire = match way {
            Way::Direct => {
                let settings = DirectSettings {
                    max_connections: connections,
                    statement_timeout: STATEMENT_TIMEOUT,
                    application_name: "doors-bench",
                    session: &["set plan_cache_mode = force_generic_plan", "set jit = off"],
                };
                let url = url(Secret::DirectUrl, &database.direct_url(), ports[0]);
                return Self::Direct(Direct::new(&url, &settings).expect("a door"));
            }
            Way::Plain | Way::PlainOfRole => PoolerWire::Plain,
            Way::Pipelined | Way::PipelinedOfRole => PoolerWire::Pipelined,
        };
        let is_of_role = matches!(way, Way::PlainOfRole | Way::PipelinedOfRole);
        let pooled = if is_of_role { database.service_url() } else { database.database_url() };
        let settings = PoolerSettings {
            max_connections: connections,
            statement_timeout: STATEMENT_TIMEOUT,
            wire,
            application_name: "doors-bench",
            ..PoolerSettings::default()
        };
        let url = url(Secret::DatabaseUrl, &pooled, ports[1]);
        Self::Pooler(Pooler::new(&url, &settings).expect("a relay"))
    }

    /// Has the door ask which limits its role has, before its other servers are opened.
    pub async fn ask_role(&self) {
        if let Self::Pooler(pooler) = self {
            pooler.learn_limits().await;
        }
    }

    /// Carries an operation out.
    pub async fn run(&self, operation: Operation, id: usize) {
        let id = i64::try_from(id % ROWS).expect("a few");
        let done = match (self, operation) {
            (Self::Direct(direct), Operation::Read) => Operation::by_itself(direct, id).await,
            (Self::Pooler(pooler), Operation::Read) => Operation::by_itself(pooler, id).await,
            (Self::Direct(direct), _) => operation.within(direct.write().await.expect("a transaction"), id).await,
            (Self::Pooler(pooler), Operation::ReadTx) => {
                operation.within(pooler.read().await.expect("a transaction"), id).await
            }
            (Self::Pooler(pooler), _) => operation.within(pooler.write().await.expect("a transaction"), id).await,
        };
        done.unwrap_or_else(|error| panic!("{}: {error}", operation.name()));
    }

    /// `select 1`, prepared: a round trip and next to nothing else.
    pub async fn ping(&self) {
        match self {
            Self::Direct(direct) => direct.ping().await,
            Self::Pooler(pooler) => pooler.ping().await,
        }
        .expect("an answer");
    }
}
