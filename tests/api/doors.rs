//! The two doors: that no statement of ours ever runs as somebody else's, that a cancelled request costs
//! nobody anything, and that the pooler's door refuses what would harm a shared server.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rand::RngExt as _;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{Executor, Postgres, Row as _};
use stm_backend::config::PoolerWire;
use stm_backend::db::probe::{self, Pooling};
use stm_backend::db::url::{ConnectionString, Secret};
use stm_backend::db::{Direct, Pooler, sqlstate};

use crate::harness::{Database, World, booking, execute};

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
    Pooler::new(&pooled(database), connections, statement_timeout, wire()).expect("a relay")
}

/// The setting under test: the tests run with each.
pub fn wire() -> PoolerWire {
    match std::env::var("POOLER_WIRE").as_deref() {
        Ok("pipelined") | Err(_) => PoolerWire::Pipelined,
        Ok("plain") => PoolerWire::Plain,
        Ok(other) => panic!("POOLER_WIRE={other}"),
    }
}

/// Do the tests run against a `PgBouncer` that tracks prepared statements? See scripts/test.
fn pooler_tracks_names() -> bool {
    std::env::var_os("POOLER_TRACKS").is_some()
}

/// Differently shaped statements whose right answers are known.
pub const SHAPES: usize = 12;

/// Runs a shape with `n`; is the answer right?
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

    /// Nothing went wrong, `operations` times.
    #[track_caller]
    pub fn assert_all_right(&self, operations: i32) {
        assert!(self.errors.is_empty(), "{:?}", self.errors);
        assert_eq!((self.right, self.wrong, self.unanswered), (operations.unsigned_abs(), 0, 0));
    }

    /// Every acknowledged write is in the table once, and no write is there twice. Gives how many are there that were
    /// not acknowledged.
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

/// The hazard of a transaction pooler: through `Pooler` nothing goes wrong in 12,000 operations; plain sqlx,
/// through the same PgBouncer, shows that the same load does go wrong where nothing is done about it, neither by
/// the client nor by a pooler that tracks names.
#[tokio::test(flavor = "multi_thread")]
async fn hazard() {
    const OPERATIONS: i32 = 12_000;
    let database = Database::create().await;
    let mut session = database.session().await;
    execute(&mut session, "create table hazard (n int4)").await;

    let ours = load(
        pooler(&database, 32),
        SHAPES,
        |n| n >= OPERATIONS,
        |pooler, shape, n| async move {
            if shape == WRITES {
                let mut tx = pooler.write().await?;
                let right = is_right(&mut tx, shape, n).await?;
                tx.commit().await?;
                Ok(right)
            } else if n % 2 == 0 {
                is_right(&pooler, shape, n).await
            } else {
                let mut tx = pooler.read().await?;
                is_right(&mut tx, shape, n).await
            }
        },
    )
    .await;
    ours.assert_all_right(OPERATIONS);
    assert_eq!(ours.assert_stored(&database).await, 0, "nothing is there that was not acknowledged");

    let plain: PgPool = PgPoolOptions::new()
        .max_connections(32)
        .acquire_timeout(Duration::from_secs(30))
        .connect_lazy_with(pooled(&database).options("plain-sqlx"));
    let operation = |pool: PgPool, shape, n| async move { is_right(&pool, shape, n).await };
    let theirs = load(plain, SHAPES, |n| n >= 3000, operation).await;
    let errors = theirs.errors();
    println!("plain sqlx: {} right, {} wrong, {errors} errors", theirs.right, theirs.wrong);
    if pooler_tracks_names() {
        theirs.assert_all_right(3000);
    } else {
        assert!(theirs.wrong > 0, "this load would not notice the hazard");
    }
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

/// Operations are dropped at random moments, also inside `begin`; what was acknowledged is there.
#[tokio::test(flavor = "multi_thread")]
async fn cancelled_operations_lose_no_acknowledged_write() {
    let database = Database::create().await;
    let mut session = database.session().await;
    execute(&mut session, "create table hazard (n int4)").await;
    for door in ["pooler", "direct"] {
        let (pooler, direct) =
            (pooler(&database, 8), Direct::new(&direct(&database), 6, STATEMENT_TIMEOUT).expect("a door"));
        let tasks: Vec<_> = (0..16)
            .map(|task: i32| {
                let (pooler, direct) = (pooler.clone(), direct.clone());
                tokio::spawn(async move {
                    let mut acknowledged = Vec::new();
                    for round in 0..150 {
                        let n = task * 1000 + round;
                        let write = async {
                            if door == "pooler" {
                                let mut tx = pooler.write().await?;
                                is_right(&mut tx, WRITES, n).await?;
                                tx.commit().await
                            } else {
                                let mut tx = direct.write().await?;
                                is_right(&mut tx, WRITES, n).await?;
                                tx.commit().await
                            }
                        };
                        // Half of them are given time enough; the other half is cut somewhere.
                        let limit = if round % 2 == 0 { 20_000_000 } else { rand::rng().random_range(0..8000) };
                        if let Ok(written) = tokio::time::timeout(Duration::from_micros(limit), write).await {
                            written.expect("others are not disturbed");
                            acknowledged.push(n);
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        let mut acknowledged = HashSet::new();
        for task in tasks {
            acknowledged.extend(task.await.expect("a task"));
        }
        let written: HashSet<i32> = sqlx::query_scalar("select n from hazard")
            .fetch_all(&mut session)
            .await
            .expect("rows")
            .into_iter()
            .collect();
        let missing: Vec<_> = acknowledged.difference(&written).collect();
        assert!(acknowledged.len() >= 16 * 75, "the uncut half is acknowledged: {}", acknowledged.len());
        assert!(missing.is_empty(), "{door}: acknowledged but missing: {missing:?}");
        until_no_transaction_is_open(&database).await;
        execute(&mut session, "truncate hazard").await;
    }
}

/// Clients hang up in the middle of requests that write: no transaction stays open, and the next write counts.
#[tokio::test(flavor = "multi_thread")]
async fn cancelled_requests_leave_no_open_transaction() {
    let world = World::start_with(&[("POOLER_MAX_CONNECTIONS", "4")]).await;
    let (customer, provider) = (world.customer().await, world.provider("Plumbing").await);
    for round in 0..120_u64 {
        let write = world
            .raw(reqwest::Method::PUT, "/customer/profile")
            .bearer_auth(&customer.token)
            .json(&serde_json::json!({"address": format!("{round}")}));
        let read = world.raw(reqwest::Method::GET, "/customer/profile").bearer_auth(&customer.token);
        for request in [write, read] {
            let limit = Duration::from_micros(rand::rng().random_range(100..6000));
            let _usually_cut = tokio::time::timeout(limit, request.send()).await;
        }
    }
    until_no_transaction_is_open(&world.database).await;
    for round in 0..8 {
        let address = format!("after the storm {round}");
        world.put_as(&customer, "/customer/profile", &serde_json::json!({"address": address})).await.expect(200);
        let stored: String = sqlx::query_scalar("select address from stm.customers where user_id = $1")
            .bind(customer.id)
            .fetch_one(&mut world.database.session().await)
            .await
            .expect("a row");
        assert_eq!(stored, address);
    }
    world.post_as(&customer, "/customer/booking", &booking(&provider)).await.expect(201);
}

#[tokio::test]
async fn the_pooler_refuses_what_would_harm_a_shared_server() {
    let database = Database::create().await;
    execute(&mut database.session().await, "create table t (n int4)").await;
    let pooler = pooler(&database, 2);
    for sql in [
        "commit",
        "rollback",
        "set statement_timeout = 0",
        "listen x",
        "deallocate all",
        "select pg_advisory_lock(1)",
        "select set_config('a.b', 'c', false)",
        "create temp table x (n int)",
        "select 1 as n into temp x",
    ] {
        let mut tx = pooler.write().await.expect("a transaction");
        let error = sqlx::query(sql).execute(&mut tx).await.expect_err(sql).to_string();
        assert!(error.contains("transaction pooler"), "{sql}: {error}");
        // Nothing was sent: the transaction is as good as before.
        sqlx::query("insert into t values (1)").execute(&mut tx).await.expect("an insert");
        tx.commit().await.expect("a commit");
    }
    let mut tx = pooler.write().await.expect("a transaction");
    for refused in [sqlx::raw_sql("select 1").execute(&mut tx).await, tx.execute("select 1").await] {
        assert!(refused.expect_err("the simple protocol").to_string().contains("simple protocol"));
    }

    // A reading statement or transaction cannot write, whatever the text hides.
    let hidden = "with x as (insert into t values (2) returning n) select n from x";
    let code = |error: sqlx::Error| sqlstate(&error).map(String::from);
    assert_eq!(code(sqlx::query(hidden).fetch_one(&pooler).await.expect_err("a write")), Some("25006".into()));
    let mut tx = pooler.read().await.expect("a transaction");
    assert_eq!(code(sqlx::query(hidden).fetch_one(&mut tx).await.expect_err("a write")), Some("25006".into()));
}

/// PostgreSQL answers the COMMIT of a failed transaction with success, and rolls back: that is not a commit.
#[tokio::test]
async fn a_failed_transaction_cannot_be_committed() {
    let database = Database::create().await;
    let mut session = database.session().await;
    execute(&mut session, "create table hazard (n int4)").await;
    let (pooler, direct) =
        (pooler(&database, 2), Direct::new(&direct(&database), 4, STATEMENT_TIMEOUT).expect("a door"));
    let mut tx = pooler.write().await.expect("a transaction");
    assert!(is_right(&mut tx, WRITES, 1).await.expect("an insert"));
    assert!(sqlx::query("select 1 / 0").fetch_optional(&mut tx).await.is_err());
    assert!(tx.commit().await.is_err());
    let mut tx = direct.write().await.expect("a transaction");
    assert!(is_right(&mut tx, WRITES, 2).await.expect("an insert"));
    assert!(sqlx::query("select 1 / 0").fetch_all(&mut tx).await.is_err());
    assert!(tx.commit().await.is_err());
    let stored: i64 = sqlx::query_scalar("select count(*) from hazard").fetch_one(&mut session).await.expect("a count");
    assert_eq!(stored, 0);
}

#[tokio::test]
async fn time_limits_ride_in_the_begin_message() {
    let database = Database::create().await;
    let pooler = pooler_with(&database, 2, Duration::from_millis(300));
    let error = sqlx::query("select pg_sleep(5)::text").fetch_one(&pooler).await.expect_err("too slow");
    assert_eq!(sqlstate(&error).as_deref(), Some("57014"));
    // They were local to their transactions: whoever gets the server next does not inherit them.
    let plain = PgPoolOptions::new().max_connections(1).connect_lazy_with(pooled(&database).options("plain-sqlx"));
    let rows = sqlx::raw_sql("select current_setting('statement_timeout')").fetch_one(&plain).await.expect("a row");
    assert_eq!(rows.try_get::<String, _>(0).expect("text"), "0");
}

#[tokio::test]
async fn the_probe_tells_a_pooler_from_a_session() {
    let database = Database::create().await;
    for _ in 0..5 {
        assert_eq!(probe::pooling(&pooled(&database)).await.expect("an answer"), Pooling::Transaction);
        assert_eq!(probe::pooling(&direct(&database)).await.expect("an answer"), Pooling::Session);
    }
}
