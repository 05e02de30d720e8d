//! Which accounts and logins may be connected.

use std::collections::HashSet;

use uuid::Uuid;

use crate::types::UserId;
use doors::Direct;

/// Returns those of the users and logins that may not be connected any more: banned, gone or revoked.
pub(super) async fn list_ended(
    direct: &Direct,
    logins: &[(UserId, Option<Uuid>)],
) -> sqlx::Result<HashSet<(UserId, Option<Uuid>)>> {
    let users: Vec<_> = logins.iter().map(|login| login.0.0).collect();
    let families: Vec<_> = logins.iter().map(|login| login.1).collect();
    let rows = sqlx::query!(
        r#"select input.user_id as "user_id!: UserId", input.login
           from unnest($1::bigint[], $2::uuid[]) as input (user_id, login)
           left join stm.users u on u.id = input.user_id and u.banned_at is null
           where u.id is null
              or exists (select from stm.refresh_tokens t where t.family_id = input.login and t.revoked_at is not null)"#,
        &users,
        &families as &[Option<Uuid>],
    )
    .fetch_all(direct)
    .await?;
    Ok(rows.into_iter().map(|row| (row.user_id, row.login)).collect())
}
