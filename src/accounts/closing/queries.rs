//! SQL of closing an account.

use chrono::{DateTime, Utc};

use crate::types::UserId;
use doors::{Pooler, Tx};

/// An account to be closed.
#[derive(Debug)]
pub(super) struct Account {
    pub email: String,
    /// PHC string; `None` if only Supabase Auth knows the user.
    pub password_hash: Option<String>,
}

/// Finds a user who is not banned.
pub(super) async fn find(pooler: &Pooler, user: UserId) -> sqlx::Result<Option<Account>> {
    sqlx::query_as!(Account, "select email, password_hash from stm.users where id = $1 and banned_at is null", user.0)
        .fetch_optional(pooler)
        .await
}

/// Locks the customer, or the provider, of a user: a booking locks them too.
pub(super) async fn lock(tx: &mut Tx<Pooler>, user: UserId) -> sqlx::Result<()> {
    sqlx::query!("select id from stm.customers where user_id = $1 for update", user.0).fetch_optional(&mut *tx).await?;
    sqlx::query!("select id from stm.providers where user_id = $1 for update", user.0).fetch_optional(tx).await?;
    Ok(())
}

/// Whether a job of the user is neither paid, cancelled nor rejected. A completed one that a banned provider will never
/// mark as paid does not count against its customer.
pub(super) async fn has_open_jobs(tx: &mut Tx<Pooler>, user: UserId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (
                      select from stm.jobs j join stm.customers c on c.id = j.customer_id
                      join stm.providers p on p.id = j.provider_id
                      where c.user_id = $1 and (j.status in ('new', 'in_progress')
                                                or j.status = 'completed' and p.status <> 'banned'))
                  or exists (
                      select from stm.jobs j join stm.providers p on p.id = j.provider_id
                      where p.user_id = $1 and j.status in ('new', 'in_progress', 'completed')) as "has_open_jobs!""#,
        user.0,
    )
    .fetch_one(tx)
    .await
}

/// Erases what the rows of the role say about the person, and what nobody else relies on.
pub(super) async fn erase_rows(tx: &mut Tx<Pooler>, user: UserId) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.customers
         set address = '', zipcode = null, city = null, state = null, updated_at = now()
         where user_id = $1",
        user.0,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update stm.jobs j
         set location = null, images = '{}'
         from stm.customers c
         where c.id = j.customer_id and c.user_id = $1",
        user.0,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update stm.providers
         set business_name = 'Deleted user', service_type = null, description = null,
             experience_level = null, location = null, website_url = null, first_message_template = null,
             job_accepted_subject = null, job_accepted_body = null, negotiation_subject = null,
             negotiation_body = null, images = '{}', documents = '[]', logo_file_id = null, logo_file_name = null,
             banner_file_id = null, banner_file_name = null, updated_at = now()
         where user_id = $1",
        user.0,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "with provider as (
             select id from stm.providers where user_id = $1
         ), zip_codes as (
             delete from stm.provider_zip_codes where provider_id in (select id from provider)
         ), offers as (
             delete from stm.provider_services where provider_id in (select id from provider)
         ), documents as (
             delete from stm.provider_documents where provider_id in (select id from provider)
         ), gallery as (
             delete from stm.gallery_images where provider_id in (select id from provider)
         ), notifications as (
             delete from stm.notifications where recipient_id = $1
         ), keys as (
             delete from stm.idempotency_keys where user_id = $1
         ), codes as (
             delete from stm.one_time_codes where user_id = $1
         ), emails as (
             delete from stm.emails where user_id = $1
         )
         delete from stm.presence where user_id = $1",
        user.0,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Erases a user, and bars the account for good. Returns `false` if it is banned or closed already.
pub(super) async fn erase_user(tx: &mut Tx<Pooler>, user: UserId, now: DateTime<Utc>) -> sqlx::Result<bool> {
    let erased = sqlx::query!(
        "update stm.users
         set email = 'deleted-' || id || '@deleted.invalid', first_name = 'Deleted', last_name = 'user',
             phone_number = null, profile_picture = null, password_hash = null,
             email_verified_at = null, banned_at = $2, closed_at = $2, updated_at = $2
         where id = $1 and banned_at is null",
        user.0,
        now,
    )
    .execute(tx)
    .await?;
    Ok(erased.rows_affected() == 1)
}
