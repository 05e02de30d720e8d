//! Doors of the tests' databases, and a load whose right answers are known.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use doors::url::{ConnectionString, Secret};
use doors::{Direct, DirectSettings, Pooler, PoolerSettings, PoolerWire, sqlstate};
use rand::RngExt as _;
use sqlx::{Executor, Postgres, Row as _};
use testing::Database;

pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(20);

pub fn pooled(database: &Database) -> ConnectionString {
    ConnectionString::parse(Secret::DatabaseUrl, &database.database_url()).expect("a URL")
}

pub fn direct(database: &Database) -> ConnectionString {
    ConnectionString::parse(Secret::DirectUrl, &database.direct_url()).expect("a URL")
}

pub fn pooler(database: &Database, connections: u32) -> Pooler {
    pooler_with(database, connections, STATEMENT_TIMEOUT)
}

pub fn pooler_with(database: &Database, connections: u32, statement_timeout: Duration) -> Pooler {
    door_to(&pooled(database), connections, statement_timeout, wire())
}

/// A pooler door to any URL.
pub fn door_to(url: &ConnectionString, connections: u32, statement_timeout: Duration, wire: PoolerWire) -> Pooler {
    let settings = PoolerSettings {
        max_connections: connections,
        statement_timeout,
        wire,
        application_name: "doors-test",
        ..PoolerSettings::default()
    };
    Pooler::new(url, &settings).expect("a door")
}

/// A direct door to any URL.
pub fn direct_to(url: &ConnectionString, connections: u32) -> Direct {
    let settings = DirectSettings {
        max_connections: connections,
        statement_timeout: STATEMENT_TIMEOUT,
        ..DirectSettings::default()
    };
    Direct::new(url, &settings).expect("a door")
}

/// The setting under test: the tests run with each.
pub fn wire() -> PoolerWire {
    match std::env::var("POOLER_WIRE").as_deref() {
        Ok("pipelined") | Err(_) => PoolerWire::Pipelined,
        Ok("plain") => PoolerWire::Plain,
        Ok(other) => panic!("POOLER_WIRE={other}"),
    }
}

/// Whether the tests run against a `PgBouncer` that tracks prepared statements; see scripts/test.
pub fn pooler_tracks_names() -> bool {
    std::env::var_os("POOLER_TRACKS").is_some()
}

/// Differently shaped statements whose right answers are known.
pub const SHAPES: usize = 12;

/// Runs a shape with `n`. Returns whether the answer is right.
pub async fn is_right<'e>(
    executor: impl Executor<'e, Database = Postgres>,
    shape: usize,
    n: i32,
) -> sqlx::Result<bool> {
    let text = n.to_string();
    Ok(match shape {
        0..=3 => {
            let sql = [
                "select $1::int4 + 100000000",
                "select $1::int4 + 200000000",
                "select $1::int4 + 300000000",
                "select $1::int4 + 400000000",
            ][shape];
            let offset = 100_000_000 * i32::try_from(shape + 1).expect("small");
            sqlx::query(sql).bind(n).fetch_one(executor).await?.try_get::<i32, _>(0)? == n + offset
        }
        4 => {
            sqlx::query("select $1::text || 'x'").bind(&text).fetch_one(executor).await?.try_get::<String, _>(0)?
                == format!("{text}x")
        }
        5 => {
            sqlx::query("select 'y' || $1::text").bind(&text).fetch_one(executor).await?.try_get::<String, _>(0)?
                == format!("y{text}")
        }
        6 => {
            sqlx::query("select $1::int8 + 5").bind(i64::from(n)).fetch_one(executor).await?.try_get::<i64, _>(0)?
                == i64::from(n) + 5
        }
        7 => {
            let row = sqlx::query("select $1::int4 * 2, $2::text").bind(n).bind(&text).fetch_one(executor).await?;
            row.try_get::<i32, _>(0)? == n * 2 && row.try_get::<String, _>(1)? == text
        }
        8 => {
            let rows =
                sqlx::query("select i from generate_series($1::int4, $1 + 4) i").bind(n).fetch_all(executor).await?;
            rows.iter().map(|row| row.try_get::<i32, _>(0)).collect::<sqlx::Result<Vec<_>>>()?
                == (n..n + 5).collect::<Vec<_>>()
        }
        9 => {
            sqlx::query("select $1::text[] as a, null::int8")
                .bind(vec![text.clone(); 2])
                .fetch_one(executor)
                .await?
                .try_get::<Vec<String>, _>("a")?
                == [text.clone(), text]
        }
        10 => {
            // A statement that fails on the server must not disturb its neighbours.
            match sqlx::query("select 1 / ($1::int4 - $1)").bind(n).fetch_one(executor).await {
                Err(error) if sqlstate(&error).as_deref() == Some("22012") => true,
                answered => return answered.map(|_| false),
            }
        }
        _ => {
            sqlx::query("insert into hazard (n) values ($1::int4) returning n")
                .bind(n)
                .fetch_one(executor)
                .await?
                .try_get::<i32, _>(0)?
                == n
        }
    })
}

pub const WRITES: usize = SHAPES - 1;

#[derive(Debug, Default)]
pub struct Tally {
    pub right: u32,
    pub wrong: u32,
    pub unanswered: u32,
    /// How often each was seen.
    pub errors: HashMap<String, u32>,
    pub acknowledged: HashSet<i32>,
}

impl Tally {
    pub fn errors(&self) -> u32 {
        self.errors.values().sum()
    }

    /// Asserts that nothing went wrong in `operations` operations.
    #[track_caller]
    pub fn assert_all_right(&self, operations: i32) {
        assert!(self.errors.is_empty(), "{:?}", self.errors);
        assert_eq!((self.right, self.wrong, self.unanswered), (operations.unsigned_abs(), 0, 0));
    }

    /// Asserts that every acknowledged write is in the table once, and that no write is there twice. Returns how many are
    /// there that were not acknowledged.
    pub async fn assert_stored(&self, database: &Database) -> usize {
        let mut session = database.session().await;
        let stored: Vec<i32> = sqlx::query_scalar("select n from hazard").fetch_all(&mut session).await.expect("rows");
        let once: HashSet<i32> = stored.iter().copied().collect();
        assert_eq!(once.len(), stored.len(), "a write is there twice");
        let missing: Vec<_> = self.acknowledged.difference(&once).collect();
        assert!(missing.is_empty(), "acknowledged but missing: {missing:?}");
        once.len() - self.acknowledged.len()
    }
}

/// 64 tasks share the door until their operations, which are numbered, are `enough`; each is one of the shapes.
pub async fn load<D: Clone + Send + 'static, F>(
    door: D,
    shapes: usize,
    enough: impl Fn(i32) -> bool + Clone + Send + 'static,
    run: impl Fn(D, usize, i32) -> F + Clone + Send + 'static,
) -> Tally
where
    F: Future<Output = sqlx::Result<bool>> + Send,
{
    let next = Arc::new(AtomicI32::new(0));
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (door, enough, run, next) = (door.clone(), enough.clone(), run.clone(), next.clone());
            tokio::spawn(async move {
                let mut tally = Tally::default();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if enough(n) {
                        return tally;
                    }
                    let shape = rand::rng().random_range(0..shapes);
                    match tokio::time::timeout(Duration::from_secs(60), run(door.clone(), shape, n)).await {
                        Ok(Ok(true)) => {
                            tally.right += 1;
                            if shape == WRITES {
                                tally.acknowledged.insert(n);
                            }
                        }
                        Ok(Ok(false)) => tally.wrong += 1,
                        Ok(Err(error)) => *tally.errors.entry(format!("{shape}: {error:?}")).or_default() += 1,
                        Err(_) => tally.unanswered += 1,
                    }
                }
            })
        })
        .collect();
    let mut total = Tally::default();
    for task in tasks {
        let tally = task.await.expect("a task");
        total.right += tally.right;
        total.wrong += tally.wrong;
        total.unanswered += tally.unanswered;
        for (error, times) in tally.errors {
            *total.errors.entry(error).or_default() += times;
        }
        total.acknowledged.extend(tally.acknowledged);
    }
    total
}

/// How many transactions of the pooler's clients are open and idle.
const OPEN_TRANSACTIONS: &str = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and state like 'idle in transaction%'";

/// Waits until what was cancelled has been cleaned up.
pub async fn until_no_transaction_is_open(database: &Database) {
    let mut session = database.session().await;
    for _ in 0..200 {
        let open: i64 = sqlx::query_scalar(OPEN_TRANSACTIONS).fetch_one(&mut session).await.expect("a count");
        if open == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("a transaction stays open");
}
