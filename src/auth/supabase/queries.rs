//! SQL of accounts that belong to users of Supabase Auth.

use sqlx::PgExecutor;
use uuid::Uuid;

use super::Person;
use crate::types::{Role, UserId};
use doors::{Door, Tx};

/// An account.
#[derive(Debug)]
pub(crate) struct Account {
    pub id: UserId,
    pub role: Role,
    /// Banned, or closed.
    pub is_banned: bool,
}

/// Finds the account of a Supabase user, over either door.
pub(crate) async fn find(door: impl PgExecutor<'_>, auth_uid: Uuid) -> sqlx::Result<Option<Account>> {
    sqlx::query_as!(
        Account,
        r#"select id as "id: UserId", role as "role: Role", banned_at is not null as "is_banned!"
           from stm.users
           where auth_uid = $1"#,
        auth_uid,
    )
    .fetch_optional(door)
    .await
}

/// Gives a Supabase user the account with this e-mail address, which both sides have verified. Accounts of LSMs and admins
/// need the same role in `app_metadata`. Returns `false` if there is none.
pub(super) async fn link<D: Door>(
    tx: &mut Tx<D>,
    auth_uid: Uuid,
    email: &str,
    role: Option<Role>,
) -> sqlx::Result<bool> {
    let linked = sqlx::query!(
        "update stm.users
         set auth_uid = $1, updated_at = now()
         where email = $2 and auth_uid is null and email_verified_at is not null and banned_at is null
           and (role in ('customer', 'service_provider') or role = $3)
           and not exists (select from stm.users other where other.auth_uid = $1)",
        auth_uid,
        email,
        role.map(Role::as_str),
    )
    .execute(tx)
    .await?;
    Ok(linked.rows_affected() == 1)
}

/// Inserts a customer, unless the Supabase user or the e-mail address has an account. Waits for one that is being inserted.
pub(super) async fn insert<D: Door>(
    tx: &mut Tx<D>,
    person: &Person,
    email: &str,
    has_verified_email: bool,
) -> sqlx::Result<()> {
    sqlx::query!(
        "with new_user as (
             insert into stm.users (auth_uid, email, first_name, last_name, role, email_verified_at)
             values ($1, $2, $3, $4, 'customer', case when $5::boolean then now() end)
             on conflict do nothing
             returning id)
         insert into stm.customers (user_id, address, region)
         select id, '', '' from new_user",
        person.auth_uid,
        email,
        person.first_name,
        person.last_name,
        has_verified_email,
    )
    .execute(tx)
    .await
    .map(drop)
}
