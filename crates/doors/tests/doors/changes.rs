//! The schema changes while the service runs: what code of yesterday can read goes on; what it cannot is refused, and
//! never read wrongly.

use doors::{Direct, Pooler, Tx};
use sqlx::Row as _;

use crate::{base, code, counters, number, pipelined, through_relay};
use testing::{Database, execute};

const TABLE: &str =
    "drop table if exists t; create table t (id int4, name text, note text); insert into t values (7, 'seven', 'odd')";
const ALL: &str = "select * from t";

/// A door that has used `t` as it was.
async fn used(database: &Database) -> Pooler {
    execute(&mut database.session().await, TABLE).await;
    let pooler = pipelined(database, 4);
    let row = sqlx::query(ALL).fetch_one(&pooler).await.expect("a row");
    assert_eq!((row.get::<i32, _>("id"), row.get::<&str, _>("name")), (7, "seven"));
    pooler
}

/// As the code that `query!` writes: it does not look at the columns' types again.
async fn read(pooler: &Pooler) -> sqlx::Result<(i32, String)> {
    let row = sqlx::query(ALL).fetch_one(pooler).await?;
    Ok((row.try_get_unchecked("id")?, row.try_get_unchecked("name")?))
}

async fn change(database: &Database, sql: &str) {
    execute(&mut database.session().await, sql).await;
}

/// As many connections as the door has, all at once, each with its own view of the statement.
async fn on_every_connection(pooler: &Pooler) -> Vec<Tx<Pooler>> {
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(pooler.read().await.expect("a transaction"));
    }
    all
}

#[tokio::test]
async fn what_reads_the_same_goes_on() {
    let database = Database::create().await;
    for sql in [
        "alter table t alter id type int8",
        "alter table t alter id type int2",
        "alter table t alter name type varchar(20)",
        "alter table t add more int4 not null default 5",
        "alter table t alter name type char(5)",
    ] {
        let pooler = used(&database).await;
        change(&database, sql).await;
        for _ in 0..3 {
            assert_eq!(read(&pooler).await.expect(sql), (7, "seven".to_owned()), "{sql}");
        }
        for mut tx in on_every_connection(&pooler).await {
            let row = sqlx::query(ALL).fetch_one(&mut tx).await.expect(sql);
            assert_eq!(row.get_unchecked::<i32, _>("id"), 7, "{sql}");
        }
        let mut tx = pooler.write().await.expect("a transaction");
        let insert = "insert into t (id, name) values (8, 'eight') returning id";
        assert_eq!(sqlx::query(insert).fetch_one(&mut tx).await.expect(sql).get_unchecked::<i32, _>(0), 8, "{sql}");
        tx.commit().await.expect(sql);
        let seen = counters(&pooler);
        assert!(seen.changed > 0 && seen.refused == 0, "{sql}: {seen:?}");
    }
}

/// Each is read wrongly by code that was compiled before.
const HARMFUL: [&str; 6] = [
    "alter table t alter id type text",
    "alter table t alter name type bytea using name::bytea",
    "alter table t rename note to remark",
    "alter table t drop column note",
    "alter table t drop column id",
    "drop table t; create table t (name text, id int4, note text); insert into t values ('seven', 7, 'odd')",
];

#[tokio::test]
async fn what_would_be_read_wrongly_is_refused_on_every_connection() {
    let database = Database::create().await;
    for sql in HARMFUL {
        let pooler = used(&database).await;
        change(&database, sql).await;
        for _ in 0..3 {
            let error = sqlx::query(ALL).fetch_all(&pooler).await.expect_err(sql);
            assert_eq!(code(&error), "0A000", "{sql}");
            // The columns themselves are not the matter: what asks for what is there is answered.
            pooler.ping().await.expect("an answer");
        }
        // Connections that have never seen the statement believe the description that the first one was sent.
        for mut tx in on_every_connection(&pooler).await {
            let error = sqlx::query(ALL).fetch_all(&mut tx).await.expect_err(sql);
            assert_eq!(code(&error), "0A000", "{sql}");
        }
        assert!(counters(&pooler).refused >= 7, "{sql}: {:?}", counters(&pooler));
        // A process that starts now knows the new shape, and only that.
        let pooler = pipelined(&database, 1);
        sqlx::query(ALL).fetch_one(&pooler).await.expect(sql);
        assert_eq!((counters(&pooler).changed, counters(&pooler).refused), (0, 0));
    }
}

#[tokio::test]
async fn a_transaction_that_meets_a_harmful_change_stores_nothing() {
    const RETURNING: &str = "insert into t (name) values ('eight') returning *";
    let database = Database::create().await;
    for sql in HARMFUL {
        // As the transaction's first statement, and after others.
        for returning in [true, false] {
            let pooler = used(&database).await;
            let mut tx = pooler.write().await.expect("a transaction");
            sqlx::query(RETURNING).fetch_one(&mut tx).await.expect("a row");
            drop(tx);
            change(&database, sql).await;

            let mut tx = pooler.write().await.expect("a transaction");
            let failing = if returning {
                RETURNING
            } else {
                sqlx::query("insert into t (name) values ('nine')").execute(&mut tx).await.expect("an insert");
                ALL
            };
            let error = sqlx::query(failing).fetch_all(&mut tx).await.expect_err(sql);
            assert_eq!(code(&error), "0A000", "{sql}");
            let error = sqlx::query("insert into t (name) values ('ten')").execute(&mut tx).await.expect_err(sql);
            assert!(error.to_string().contains("has failed"), "{sql}: {error}");
            assert!(tx.commit().await.is_err(), "{sql}");
            assert_eq!(number(&database, "select count(*) from t").await, 1, "{sql}");
        }
    }
}

/// The same, where no `Tx` remembers the failure: the relay itself does not commit.
#[tokio::test]
async fn the_relay_does_not_commit_after_a_harmful_change() {
    let database = Database::create().await;
    for sql in HARMFUL {
        let pooler = used(&database).await;
        change(&database, sql).await;
        let mut session = through_relay(&pooler, &database).await;
        execute(&mut session, "begin").await;
        sqlx::query("insert into t (name) values ('nine')").execute(&mut session).await.expect("an insert");
        let error = sqlx::query(ALL).fetch_all(&mut session).await.expect_err(sql);
        assert_eq!(code(&error), "0A000", "{sql}");
        let commit = sqlx::raw_sql("commit").execute(&mut session).await.expect_err(sql);
        assert_eq!(code(&commit), "25P02", "{sql}");
        assert_eq!(number(&database, "select count(*) from t").await, 1, "{sql}");
        // The connection is as good as new.
        execute(&mut session, "begin").await;
        sqlx::query("insert into t (name) values ('ten')").execute(&mut session).await.expect("an insert");
        execute(&mut session, "commit").await;
        assert_eq!(number(&database, "select count(*) from t").await, 2, "{sql}");
    }
}

/// A parameter's type changed: what was encoded for the old one is not sent to be read as the new one.
#[tokio::test]
async fn changed_parameters_are_refused() {
    let database = Database::create().await;
    let pooler = used(&database).await;
    // The server says of what type it is: sqlx sends none with NULL of a type it does not know here.
    let find = "select name from t where id = $1";
    let row = sqlx::query(find).bind(7_i32).fetch_one(&pooler).await.expect("a row");
    assert_eq!(row.get::<&str, _>(0), "seven");
    change(&database, "alter table t alter id type text").await;
    for _ in 0..3 {
        let error = sqlx::query(find).bind(7_i32).fetch_all(&pooler).await.expect_err("another type");
        assert!(["0A000", "42883"].contains(&code(&error).as_str()), "{error:?}");
    }
}

#[tokio::test]
async fn a_table_made_anew_in_the_same_shape_goes_on() {
    let database = Database::create().await;
    let pooler = used(&database).await;
    for round in 0..3 {
        change(&database, TABLE).await;
        for mut tx in on_every_connection(&pooler).await {
            let row = sqlx::query(ALL).fetch_one(&mut tx).await.expect("a row");
            assert_eq!((row.get::<i32, _>("id"), row.get::<&str, _>("name")), (7, "seven"), "{round}");
        }
    }
    change(&database, "drop table t").await;
    assert_eq!(code(&sqlx::query(ALL).fetch_all(&pooler).await.expect_err("no table")), "42P01");
    change(&database, TABLE).await;
    assert_eq!(read(&pooler).await.expect("a row"), (7, "seven".to_owned()));
}

/// A change that was harmful is taken back.
#[tokio::test]
async fn a_change_taken_back_is_forgiven() {
    let database = Database::create().await;
    let pooler = used(&database).await;
    change(&database, "alter table t rename note to remark").await;
    assert_eq!(code(&read(&pooler).await.expect_err("another name")), "0A000");
    change(&database, "alter table t rename remark to note").await;
    assert_eq!(read(&pooler).await.expect("a row"), (7, "seven".to_owned()));
}

/// Columns come and go under load: never a wrong row.
#[tokio::test(flavor = "multi_thread")]
async fn changes_under_load_are_met_by_right_rows_or_errors() {
    let database = Database::create().await;
    let pooler = used(&database).await;
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let pooler = pooler.clone();
            tokio::spawn(async move {
                let (mut right, mut refused) = (0, 0);
                for _ in 0..400 {
                    match read(&pooler).await {
                        Ok(row) => {
                            assert_eq!(row, (7, "seven".to_owned()));
                            right += 1;
                        }
                        Err(error) if ["0A000", "55P03"].contains(&code(&error).as_str()) => refused += 1,
                        Err(error) => panic!("{error:?}"),
                    }
                }
                (right, refused)
            })
        })
        .collect();
    let mut session = database.session().await;
    while readers.iter().any(|reader| !reader.is_finished()) {
        for change in [
            "alter table t alter id type text",
            "alter table t alter id type int4 using id::int4",
            "alter table t alter id type int8",
            "alter table t rename name to nom",
            "alter table t rename nom to name",
            "alter table t alter id type int4",
        ] {
            execute(&mut session, change).await;
        }
    }
    let (mut right, mut refused) = (0, 0);
    for reader in readers {
        let (more_right, more_refused) = reader.await.expect("only right rows");
        right += more_right;
        refused += more_refused;
    }
    println!("{right} right, {refused} refused");
    assert!(right > 0 && refused > 0, "{right} right, {refused} refused");
}

/// As the code that `query!` writes.
async fn read_direct(direct: &Direct) -> sqlx::Result<(i32, String)> {
    let row = sqlx::query(ALL).fetch_one(direct).await?;
    Ok((row.try_get_unchecked("id")?, row.try_get_unchecked("name")?))
}

/// A direct door that has used `t` as it was, on both of its sessions.
async fn used_directly(database: &Database) -> Direct {
    execute(&mut database.session().await, TABLE).await;
    let direct = base::direct_to(&base::direct(database), 2);
    let mut all = Vec::new();
    for _ in 0..2 {
        all.push(direct.write().await.expect("a transaction"));
    }
    for tx in &mut all {
        sqlx::query(ALL).fetch_one(tx).await.expect("a row");
    }
    direct
}

/// Sessions keep their statements: those that a change of the schema has outdated are prepared anew, once.
#[tokio::test]
async fn the_direct_door_prepares_anew() {
    let database = Database::create().await;
    for sql in [
        "alter table t alter name type varchar(9000)",
        "alter table t alter id type int2",
        "alter table t add more int4 not null default 5",
        TABLE,
    ] {
        for in_transaction in [false, true] {
            let direct = used_directly(&database).await;
            change(&database, sql).await;
            for _ in 0..4 {
                if in_transaction {
                    let mut tx = direct.write().await.expect("a transaction");
                    let row = sqlx::query(ALL).fetch_one(&mut tx).await.expect(sql);
                    assert_eq!(row.get_unchecked::<String, _>("name"), "seven", "{sql}");
                } else {
                    assert_eq!(read_direct(&direct).await.expect(sql).1, "seven", "{sql}");
                }
            }
        }
    }
}

/// What cannot be repeated fails once: the next transaction knows the present schema.
#[tokio::test]
async fn a_transaction_of_the_direct_door_fails_once() {
    let database = Database::create().await;
    let direct = used_directly(&database).await;
    change(&database, "alter table t alter name type varchar(9000)").await;
    let mut tx = direct.write().await.expect("a transaction");
    sqlx::query("select 1").execute(&mut tx).await.expect("an answer");
    assert_eq!(code(&sqlx::query(ALL).fetch_one(&mut tx).await.expect_err("an old plan")), "0A000");
    assert!(tx.commit().await.is_err());
    for _ in 0..4 {
        let mut tx = direct.write().await.expect("a transaction");
        sqlx::query("select 1").execute(&mut tx).await.expect("an answer");
        sqlx::query(ALL).fetch_one(&mut tx).await.expect("a new plan");
    }
}

#[tokio::test]
async fn the_direct_door_refuses_what_would_be_read_wrongly() {
    let database = Database::create().await;
    for sql in HARMFUL {
        let direct = used_directly(&database).await;
        change(&database, sql).await;
        for _ in 0..3 {
            let error = read_direct(&direct).await.expect_err(sql);
            assert!(error.to_string().contains("restart the service"), "{sql}: {error}");
        }
        let mut tx = direct.write().await.expect("a transaction");
        let error = sqlx::query(ALL).fetch_one(&mut tx).await.expect_err(sql);
        assert!(error.to_string().contains("restart the service"), "{sql}: {error}");
        assert!(tx.commit().await.is_err(), "{sql}");
        direct.ping().await.expect("an answer");
    }
}

/// Types and functions made anew have other numbers than those that the sessions know.
#[tokio::test]
async fn the_direct_door_follows_types_and_functions() {
    const KIND: &str = "drop type if exists kind cascade; create type kind as enum ('a', 'b')";
    const TWICE: &str =
        "drop function if exists twice; create function twice(n int4) returns int4 language sql as 'select 2 * n'";
    let database = Database::create().await;
    change(&database, KIND).await;
    change(&database, TWICE).await;
    let direct = base::direct_to(&base::direct(&database), 2);
    for _ in 0..3 {
        for _ in 0..4 {
            let kind = sqlx::query_scalar("select $1::kind::text").bind("b").fetch_one(&direct).await;
            assert_eq!(kind.map(|kind: String| kind).expect("a kind"), "b");
            let twice = sqlx::query_scalar("select twice($1)").bind(21).fetch_one(&direct).await;
            assert_eq!(twice.map(|twice: i32| twice).expect("a number"), 42);
        }
        change(&database, KIND).await;
        change(&database, TWICE).await;
    }
    // A column that is gone is gone, and comes back.
    change(&database, TABLE).await;
    for (sql, is_there) in
        [("select 1", true), ("alter table t drop note", false), ("alter table t add note text", true)]
    {
        change(&database, sql).await;
        let note = sqlx::query("select note from t").fetch_one(&direct).await;
        assert_eq!(note.is_ok(), is_there, "{sql}: {note:?}");
    }
}
