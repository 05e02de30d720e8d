//! Whether the database behind a door answers and accepts writes.

use sqlx::{Executor, Postgres};

/// What the database behind a door currently accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads and writes.
    ReadWrite,
    /// Reads only.
    ReadOnly,
}

/// Asks the database behind `door`.
pub async fn ask<'c>(door: impl Executor<'c, Database = Postgres>) -> sqlx::Result<Access> {
    // Not `transaction_read_only`: the pooler door may make a single statement read-only.
    let is_read_only: bool =
        sqlx::query_scalar("select current_setting('default_transaction_read_only')::bool or pg_is_in_recovery()")
            .fetch_one(door)
            .await?;
    Ok(if is_read_only { Access::ReadOnly } else { Access::ReadWrite })
}
