//! SQL of a customer's profile.

use super::http::{ContactView, ProfileView, StatisticsView};
use crate::types::{Cents, UserId};
use doors::{Pooler, Tx};

/// A change of a profile; `None` leaves a field as it is.
#[derive(Debug, Default)]
pub(super) struct ProfileChange {
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    /// E.164.
    pub phone_number: Option<String>,
    pub address: Option<String>,
    /// Five digits.
    pub zipcode: Option<String>,
    pub region: Option<String>,
}

/// The profile of a user who is a customer and not banned.
pub(super) async fn find(pooler: &Pooler, user_id: UserId) -> sqlx::Result<Option<ProfileView>> {
    let row = sqlx::query!(
        r#"select first_name as "first_name!", last_name as "last_name!", email as "email!", phone_number, address as "address!",
                  region as "region!", zipcode, total_jobs as "total_jobs!",
                  total_spent_cents as "total_spent_cents!"
           from stm.customer_profile_v1($1)"#,
        user_id.0,
    )
    .fetch_optional(pooler)
    .await?;
    Ok(row.map(|row| ProfileView {
        user: ContactView {
            name: format!("{} {}", row.first_name, row.last_name),
            email: row.email,
            phone: row.phone_number.unwrap_or_default(),
        },
        address: row.address,
        region: row.region,
        zipcode: row.zipcode,
        statistics: StatisticsView { total_jobs: row.total_jobs, total_spent: Cents(row.total_spent_cents) },
    }))
}

/// Changes a profile. Returns `false` if the user is not a customer, or is banned.
pub(super) async fn set(tx: &mut Tx<Pooler>, user_id: UserId, change: &ProfileChange) -> sqlx::Result<bool> {
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
