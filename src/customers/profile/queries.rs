//! The customer's own rows.

use crate::db::{Pooler, Tx};
use crate::types::UserId;

/// A customer's profile.
#[derive(Debug)]
pub struct ProfileRow {
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// E-mail address.
    pub email: String,
    /// E.164; none if the user came from Supabase Auth.
    pub phone_number: Option<String>,
    /// Street address.
    pub address: String,
    /// Region.
    pub region: String,
    /// Five digits.
    pub zipcode: Option<String>,
    /// All jobs ever requested.
    pub total_jobs: i64,
    /// The prices of paid jobs.
    pub total_spent_cents: i64,
}

/// What to change in a profile; `None` stays as it is.
#[derive(Debug, Default)]
pub struct ProfileChange {
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// E.164.
    pub phone_number: Option<String>,
    /// Street address.
    pub address: Option<String>,
    /// Five digits.
    pub zipcode: Option<String>,
    /// Region.
    pub region: Option<String>,
}

/// The profile of a user who is a customer.
///
/// # Errors
/// Those of the database.
pub async fn find_profile(pooler: &Pooler, user_id: UserId) -> sqlx::Result<Option<ProfileRow>> {
    sqlx::query_as!(
        ProfileRow,
        r#"select u.first_name, u.last_name, u.email, u.phone_number, c.address, c.region, c.zipcode,
                  j.total_jobs as "total_jobs!", j.total_spent_cents as "total_spent_cents!"
           from stm.users u
           join stm.customers c on c.user_id = u.id
           cross join lateral (
               select count(*) as total_jobs,
                      coalesce(sum(price_cents) filter (where status = 'paid'), 0)::bigint as total_spent_cents
               from stm.jobs
               where customer_id = c.id
           ) j
           where u.id = $1 and u.banned_at is null"#,
        user_id.0,
    )
    .fetch_optional(pooler)
    .await
}

/// Changes a profile. `false`: this user is not a customer, or banned.
///
/// # Errors
/// Those of the database.
pub async fn set_profile(tx: &mut Tx<Pooler>, user_id: UserId, change: &ProfileChange) -> sqlx::Result<bool> {
    let changed = sqlx::query!(
        "with person as (
             update stm.users
             set first_name = coalesce($2, first_name), last_name = coalesce($3, last_name),
                 phone_number = coalesce($4, phone_number), updated_at = now()
             where id = $1 and banned_at is null
             returning id)
         update stm.customers c
         set address = coalesce($5, address), zipcode = coalesce($6, zipcode), region = coalesce($7, region), updated_at = now()
         from person
         where c.user_id = person.id",
        user_id.0,
        change.first_name,
        change.last_name,
        change.phone_number,
        change.address,
        change.zipcode,
        change.region,
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}
