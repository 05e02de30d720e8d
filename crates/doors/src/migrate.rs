//! Migrations, applied over the direct connection.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::migrate::{MigrateError, Migration, Migrator};
use sqlx::{AssertSqlSafe, Executor, PgConnection, Postgres};

use crate::meaning::is_missing_table;
use crate::{Direct, Pooler, sqlstate};

/// How long to wait for another process that is migrating the same database.
const LOCK_TIMEOUT: Duration = Duration::from_secs(120);

/// Applies the missing migrations of `migrator`, under sqlx's advisory lock: of several processes that start at once, one
/// migrates and the others wait. A database that is *ahead* of this build is accepted, so that an older
/// process can start again during a rolling deploy.
///
/// # Errors
/// One sentence that names the secret, what failed, and what to do.
pub async fn migrate(direct: &Direct, migrator: &mut Migrator) -> Result<(), String> {
    let failed = |why: String| format!("DIRECT_URL: the database could not be migrated: {why}");
    let mut session = direct.session().await.map_err(|error| failed(error.to_string()))?;
    if is_up_to_date(&mut session, migrator).await.map_err(|error| failed(error.to_string()))? {
        return Ok(());
    }
    // A migration may take its time; waiting for the lock may not last forever.
    let limits = format!("set statement_timeout = 0; set lock_timeout = {}", LOCK_TIMEOUT.as_millis());
    session.execute(sqlx::raw_sql(AssertSqlSafe(limits))).await.map_err(|error| failed(error.to_string()))?;

    // `run` is generic over what it acquires, so this future could not be proven `Send`, as Shuttle asks;
    // `run_direct` is the same without that.
    let migrated = migrator.set_ignore_missing(true).run_direct(None, &mut *session, false).await;
    // The session has other limits than the pool's others, and after a failure may hold the lock: it is never reused.
    session.close();
    migrated.map_err(|error| failed(explain(&error)))
}

/// Whether no migration of `migrator` is missing. Only reads, so that a process can start on a read-only database. Any other
/// fault is left to the migrator, which reports it.
async fn is_up_to_date(session: &mut PgConnection, migrator: &Migrator) -> sqlx::Result<bool> {
    let applied = format!("select version, checksum from {} where success", migrator.table_name);
    let applied: HashMap<i64, Vec<u8>> = match sqlx::query_as(AssertSqlSafe(applied)).fetch_all(session).await {
        Ok(rows) => rows.into_iter().collect(),
        Err(error) if is_missing_table(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    let is_applied = |migration: &Migration| {
        applied.get(&migration.version).is_some_and(|checksum| **checksum == *migration.checksum)
    };
    Ok(migrator.iter().filter(|migration| !migration.migration_type.is_down_migration()).all(is_applied))
}

/// Checks that both doors lead to the database that `migrator` has just migrated, and that the pooler's role may read
/// there. Otherwise half of the data would go elsewhere.
///
/// # Errors
/// One sentence that names the secrets, what is wrong, and what to do.
pub async fn check_same_database(pooler: &Pooler, direct: &Direct, migrator: &Migrator) -> Result<(), String> {
    let table = &migrator.table_name;
    let (by_pooler, by_direct) = tokio::join!(identity(pooler, table), identity(direct, table));
    let by_direct = by_direct.map_err(|error| format!("DIRECT_URL: the migrated database cannot be read: {error}."))?;
    match by_pooler {
        Ok(by_pooler) if by_pooler == by_direct => Ok(()),
        Ok(_) => {
            Err("DATABASE_URL and DIRECT_URL lead to different databases. Put two ways to the same one there.".into())
        }
        Err(error) if is_missing_table(&error) => {
            Err("DATABASE_URL leads to another database than DIRECT_URL. Put two ways to the same one there.".into())
        }
        Err(error) => Err(format!(
            "DATABASE_URL: what DIRECT_URL has migrated cannot be read through it ({error}). Put the same role into both."
        )),
    }
}

/// What distinguishes one migrated database from another: its oid, and when it was first migrated. Not when last: a
/// newer build may be migrating between the two reads.
async fn identity<'c>(
    door: impl Executor<'c, Database = Postgres>,
    table: &str,
) -> sqlx::Result<(i64, Option<DateTime<Utc>>)> {
    let sql = format!(
        "select oid::bigint, (select min(installed_on) from {table}) from pg_database where datname = current_database()"
    );
    sqlx::query_as(AssertSqlSafe(sql)).fetch_one(door).await
}

fn explain(error: &MigrateError) -> String {
    match error {
        MigrateError::VersionMismatch(version) => format!(
            "migration {version} was changed after it had been applied. Deploy the build that holds the applied one, \
             and put the change into a new migration."
        ),
        MigrateError::Dirty(version) => format!(
            "migration {version} was applied only in part. Repair the schema by hand, then remove its row from the \
             table of migrations."
        ),
        MigrateError::ExecuteMigration(error, version) => format!(
            "migration {version} failed ({error}). Put a role there that owns the schema, or repair what the \
             message names."
        ),
        MigrateError::Execute(error) => match sqlstate(error).as_deref() {
            Some("55P03") => {
                "another process has been migrating for too long. Wait for it, or end it, and start again.".to_owned()
            }
            Some("25006") => {
                "the database is read-only, and a migration is missing. Make it writable first: Supabase does \
                              so once its disk is less full."
                    .to_owned()
            }
            Some("42501") => {
                format!("the role may not do it ({error}). Put a role there that may create the schema.")
            }
            _ => error.to_string(),
        },
        other => other.to_string(),
    }
}
