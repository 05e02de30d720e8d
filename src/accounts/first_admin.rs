//! The first admin, from the settings: made once, never overwritten.

use crate::auth::Passwords;
use crate::config::FirstAdmin;
use anyhow::Context as _;
use doors::{Pooler, Tx};

/// Inserts the configured admin if there is no admin yet, and warns while its password is the configured one.
///
/// # Errors
/// Those of the database, and of hashing.
pub(crate) async fn ensure(pooler: &Pooler, passwords: &Passwords, admin: &FirstAdmin) -> anyhow::Result<()> {
    let FirstAdmin { email, password } = admin;
    if !is_there_an_admin(pooler).await? {
        let hash = passwords.hash(password.clone()).await.context("hash ADMIN_PASSWORD")?;
        let mut tx = pooler.write().await?;
        let made = insert(&mut tx, email, &hash).await?;
        tx.commit().await?;
        if made {
            tracing::info!("the first admin was made (ADMIN_EMAIL)");
        }
    }
    let Some(hash) = find_password(pooler, email).await? else {
        tracing::warn!("ADMIN_EMAIL is no admin, and was left as it is: there is another admin or another account");
        return Ok(());
    };
    if passwords.verify(password.clone(), hash).await.context("verify ADMIN_PASSWORD")? {
        tracing::warn!("the first admin's password is still ADMIN_PASSWORD: change it, then remove both settings");
    }
    Ok(())
}

async fn is_there_an_admin(pooler: &Pooler) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select exists (select from stm.users where role = 'admin') as "exists!""#)
        .fetch_one(pooler)
        .await
}

/// Inserts the admin, unless the address is taken. Of several processes that start at once, one does.
async fn insert(tx: &mut Tx<Pooler>, email: &str, hash: &str) -> sqlx::Result<bool> {
    let inserted = sqlx::query!(
        "insert into stm.users (email, password_hash, first_name, last_name, role)
         values ($1, $2, 'First', 'Admin', 'admin')
         on conflict (email) do nothing",
        email,
        hash,
    )
    .execute(tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// The password hash of an admin.
async fn find_password(pooler: &Pooler, email: &str) -> sqlx::Result<Option<Option<String>>> {
    sqlx::query_scalar!("select password_hash from stm.users where email = $1 and role = 'admin'", email)
        .fetch_optional(pooler)
        .await
}
