//! The columns of the direct door's statements, as the database first described them.
//!
//! The `query!` macros do not check the columns' types again, so rows whose columns have changed must not reach them. The
//! relay withholds such rows; this module does so where there is no relay.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sqlx::postgres::PgColumn;
use sqlx::{Column as _, SqlStr};

use crate::relay::{COLUMNS_CHANGED, Column, is_readable_as};

/// The most statements that are remembered. A program has far fewer, unless it generates them.
const MAX_STATEMENTS: usize = 2000;

/// The first columns of each statement, shared by all connections of a door.
#[derive(Debug, Clone, Default)]
pub struct KnownColumns(Arc<Mutex<HashMap<String, Vec<Column>>>>);

impl KnownColumns {
    /// Checks the columns of a row that `sql` has just returned.
    ///
    /// # Errors
    /// Code that was written for the columns as this process first saw them would misread the present ones.
    pub fn check(&self, sql: &SqlStr, columns: &[PgColumn]) -> sqlx::Result<()> {
        let now = columns.iter().map(|column| {
            let name = Bytes::copy_from_slice(column.name().as_bytes());
            Column::new(name, column.type_info().oid().map_or(0, |oid| oid.0))
        });
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = known.get(sql.as_str()) {
            return if is_readable_as(first, now) {
                Ok(())
            } else {
                Err(sqlx::Error::Configuration(COLUMNS_CHANGED.into()))
            };
        }
        if known.len() < MAX_STATEMENTS {
            known.insert(sql.as_str().to_owned(), now.collect());
        }
        Ok(())
    }
}
