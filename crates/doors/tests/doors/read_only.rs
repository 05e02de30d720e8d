//! A database that takes no writes, as Supabase makes it when its disk is nearly full.

use doors::{Access, Meaning, PoolerWire, meaning};
use testing::{Database, execute};

use crate::base::{direct, direct_to};
use crate::{code, door};

const INSERT: &str = "insert into t values (1)";

#[tokio::test]
async fn writes_are_refused_as_what_they_are_and_reads_go_on() {
    let database = Database::create().await;
    let name = database.direct_url().rsplit_once('/').expect("a database").1.to_owned();
    let mut session = database.session().await;
    execute(&mut session, "create table t (n int4)").await;
    for access in [Access::ReadWrite, Access::ReadOnly] {
        for wire in PoolerWire::ALL {
            let pooler = door(&database.database_url(), 2, wire);
            let direct = direct_to(&direct(&database), 2);
            assert_eq!(pooler.ping().await.expect("an answer"), access, "{wire}");
            assert_eq!(direct.ping().await.expect("an answer"), access, "{wire}");
            sqlx::query("select n from t").execute(&pooler).await.expect("a read");
            sqlx::query("select n from t").execute(&direct).await.expect("a read");

            // A write where only reads are meant is a defect, whatever the database takes.
            let alone = sqlx::query(INSERT).execute(&pooler).await.expect_err("a read");
            assert_eq!((code(&alone).as_str(), meaning(&alone)), ("25006", Meaning::OurFault), "{wire}");
            let mut tx = pooler.read().await.expect("a transaction");
            let read = sqlx::query(INSERT).execute(&mut tx).await.expect_err("a read");
            assert_eq!((code(&read).as_str(), meaning(&read)), ("25006", Meaning::OurFault), "{wire}");

            let mut tx = pooler.write().await.expect("a transaction");
            let by_pooler = sqlx::query(INSERT).execute(&mut tx).await.map(drop);
            let mut tx = direct.write().await.expect("a transaction");
            let in_session = sqlx::query(INSERT).execute(&mut tx).await.map(drop);
            let by_direct = sqlx::query(INSERT).execute(&direct).await.map(drop);
            for written in [by_pooler, in_session, by_direct] {
                match (written, access) {
                    (Ok(()), Access::ReadWrite) => {}
                    (Err(error), Access::ReadOnly) => assert_eq!(meaning(&error), Meaning::ReadOnly, "{error:?}"),
                    (written, access) => panic!("{wire} {access:?}: {written:?}"),
                }
            }
        }
        execute(&mut session, &format!("alter database {name} set default_transaction_read_only = on")).await;
        // For new connections only, and the pooler keeps those it has.
        execute(&mut session, "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()").await;
    }
}
