//! Access tokens of users that a seed has inserted.

use std::time::Duration;

use chrono::Utc;
use stm_backend::auth::AccessTokens;
use stm_backend::types::{Role, UserId};
use testing::token::JWT_SECRET;

/// Longer than any run.
const EXPIRE_IN: Duration = Duration::from_secs(24 * 3600);

/// A token for each of the users.
pub fn issue(role: Role, users: impl IntoIterator<Item = i64>) -> Vec<String> {
    let tokens = AccessTokens::new(&JWT_SECRET.into(), EXPIRE_IN);
    let now = Utc::now();
    let token = |id| tokens.issue(UserId(id), format!("{id}@bench.example"), role, None, now).expect("a token");
    users.into_iter().map(token).collect()
}
