//! Live logins: an account that exists and is not banned, and a login that has neither ended nor been revoked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use tokio::time::Instant;
use uuid::Uuid;

use crate::types::UserId;
use doors::Pooler;

/// How long a check is trusted. The limit for a change whose notification is lost; the others apply at once.
const TRUSTED_FOR: Duration = Duration::from_secs(3);

/// How many checks are kept. Beyond it the old ones are dropped, and then all.
const MAX_KEPT: usize = 50_000;

/// A user and the login of the token; tokens that predate logins name none.
type Key = (UserId, Option<Uuid>);

/// The logins that were found alive a moment ago. Cheap to clone.
#[derive(Clone, Default)]
pub struct LiveLogins(Arc<Mutex<Checked>>);

#[derive(Default)]
struct Checked {
    /// Counts the changes: a check that began before one is not kept.
    changes: u64,
    at: HashMap<Key, Instant>,
}

impl std::fmt::Debug for LiveLogins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LiveLogins")
    }
}

impl LiveLogins {
    /// Whether this login is alive, as of at most [`TRUSTED_FOR`] ago.
    pub(super) async fn contains(&self, pooler: &Pooler, user: UserId, login: Option<Uuid>) -> sqlx::Result<bool> {
        let began = Instant::now();
        let changes = {
            let checked = self.lock();
            if checked.at.get(&(user, login)).is_some_and(|at| began - *at < TRUSTED_FOR) {
                return Ok(true);
            }
            checked.changes
        };
        let is_live = find_live(pooler, user, login).await?.is_some();
        if is_live {
            self.lock().keep((user, login), began, changes);
        }
        Ok(is_live)
    }

    /// Forgets the checks of a user whose account or login has changed.
    pub fn forget(&self, user: UserId) {
        let mut checked = self.lock();
        checked.changes += 1;
        checked.at.retain(|key, _| key.0 != user);
    }

    /// Forgets all checks: changes may have gone unnoticed.
    pub fn forget_all(&self) {
        let mut checked = self.lock();
        checked.changes += 1;
        checked.at.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Checked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Checked {
    fn keep(&mut self, key: Key, at: Instant, changes: u64) {
        if self.changes != changes {
            return;
        }
        if self.at.len() >= MAX_KEPT {
            self.at.retain(|_, kept| at.saturating_duration_since(*kept) < TRUSTED_FOR);
        }
        if self.at.len() >= MAX_KEPT {
            self.at.clear();
        }
        self.at.insert(key, at);
    }
}

/// A live login.
#[derive(Debug, Clone, Copy)]
pub struct LiveLogin {
    /// When the login ends unless it is refreshed. `None` without a login.
    pub ends_at: Option<DateTime<Utc>>,
}

/// Finds a login that is alive, over either door.
///
/// # Errors
/// Those of the database.
pub async fn find_live(
    door: impl PgExecutor<'_>,
    user: UserId,
    login: Option<Uuid>,
) -> sqlx::Result<Option<LiveLogin>> {
    sqlx::query_as!(LiveLogin, "select ends_at from stm.find_live_login_v1($1, $2)", user.0, login,)
        .fetch_optional(door)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_a_change_overtook_is_not_kept() {
        let logins = LiveLogins::default();
        let key = (UserId(1), None);
        let before = logins.lock().changes;
        logins.forget(UserId(1));
        logins.lock().keep(key, Instant::now(), before);
        assert!(logins.lock().at.is_empty());
        let now = logins.lock().changes;
        logins.lock().keep(key, Instant::now(), now);
        assert!(logins.lock().at.contains_key(&key));
        logins.forget(UserId(1));
        assert!(logins.lock().at.is_empty());
    }

    #[test]
    fn the_checks_are_limited() {
        let logins = LiveLogins::default();
        for id in 0..i64::try_from(3 * MAX_KEPT).unwrap() {
            logins.lock().keep((UserId(id), None), Instant::now(), 0);
        }
        assert!(logins.lock().at.len() <= MAX_KEPT);
    }
}
