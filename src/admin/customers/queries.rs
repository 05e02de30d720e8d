//! SQL of customers as admins see and ban them.

use super::http::{AdminCustomerDetailsView, AdminCustomerJobsView, AdminCustomerView, CustomerStatus};
use crate::types::{Cents, CustomerId, JobId, Timestamp, UserId};
use crate::web::page::PageRequest;
use doors::{Pooler, Tx};

/// A selection of the customers.
#[derive(Debug, Clone, Copy)]
pub(super) struct CustomerFilter<'a> {
    /// A part of the name or of the address, as a pattern.
    pub search: Option<&'a str>,
    pub region: Option<&'a str>,
    pub status: Option<CustomerStatus>,
    pub page: PageRequest,
}

/// A page of the customers, the newest first, and their total number.
pub(super) async fn list(pooler: &Pooler, filter: CustomerFilter<'_>) -> sqlx::Result<(Vec<AdminCustomerView>, i64)> {
    let rows = sqlx::query!(
        r#"with found as not materialized (
               select c.id
               from stm.customers c
               join stm.users u on u.id = c.user_id
               where ($1::text is null or (u.first_name || ' ' || u.last_name || ' ' || u.email) ilike $1)
                 and ($2::text is null or stm.region_key(c.region) = stm.region_key($2))
                 and ($3::text is null
                      or $3 = 'active' and u.banned_at is null
                      or $3 = 'banned' and u.banned_at is not null and u.closed_at is null
                      or $3 = 'closed' and u.banned_at is not null and u.closed_at is not null)
           ), page as (
               select f.id from found f order by f.id desc limit $4 offset $5
           )
           select case when $1::text is null and $2::text is null and $3::text is null
                       then (select count(*) from stm.customers) else (select count(*) from found) end as "total!",
                  c.id as "id: CustomerId", u.id as "user_id: UserId", u.first_name || ' ' || u.last_name as "name!", u.email,
                  u.phone_number, c.region, c.zipcode, u.banned_at, u.closed_at, c.created_at,
                  j.total_jobs as "total_jobs!", j.total_spent as "total_spent!: Cents"
           from page f
           join stm.customers c on c.id = f.id
           join stm.users u on u.id = c.user_id
           cross join lateral (
               select count(*) as total_jobs,
                      coalesce(sum(x.price_cents) filter (where x.status = 'paid'), 0)::bigint as total_spent
               from stm.jobs x where x.customer_id = c.id
           ) j
           order by c.id desc"#,
        filter.search,
        filter.region,
        filter.status.map(CustomerStatus::as_str),
        filter.page.limit,
        filter.page.offset(),
    )
    .fetch_all(pooler)
    .await?;
    let total = match rows.first() {
        Some(row) => row.total,
        None if filter.page.page == 1 => 0,
        None => Box::pin(list(pooler, CustomerFilter { page: PageRequest::ONE_ROW, ..filter })).await?.1,
    };
    let customers = rows.into_iter().map(|row| AdminCustomerView {
        id: row.id,
        user_id: row.user_id,
        name: row.name,
        email: row.email,
        phone: row.phone_number,
        region: row.region,
        zipcode: row.zipcode,
        status: CustomerStatus::new(row.banned_at.is_some(), row.closed_at.is_some()),
        total_jobs: row.total_jobs,
        total_spent: row.total_spent,
        created_at: Timestamp(row.created_at),
    });
    Ok((customers.collect(), total))
}

/// One customer.
pub(super) async fn find(pooler: &Pooler, id: CustomerId) -> sqlx::Result<Option<AdminCustomerDetailsView>> {
    let row = sqlx::query!(
        r#"select c.id as "id: CustomerId", u.id as "user_id: UserId", u.first_name || ' ' || u.last_name as "name!", u.email,
                  u.phone_number, c.region, c.zipcode, c.address, c.city, c.state, u.banned_at, u.closed_at, u.ban_reason,
                  c.created_at, u.email_verified_at is not null as "is_email_verified!",
                  j.total_jobs as "total_jobs!", j.total_spent as "total_spent!: Cents", j.open as "open!", j.paid as "paid!",
                  j.cancelled as "cancelled!",
                  (select count(*) from stm.reviews r where r.customer_id = c.id) as "reviews!",
                  (select count(*) from stm.disputes d join stm.jobs x on x.id = d.job_id where x.customer_id = c.id)
                      as "disputes!"
           from stm.customers c
           join stm.users u on u.id = c.user_id
           cross join lateral (
               select count(*) as total_jobs,
                      coalesce(sum(x.price_cents) filter (where x.status = 'paid'), 0)::bigint as total_spent,
                      count(*) filter (where x.status in ('new', 'in_progress', 'completed')) as open,
                      count(*) filter (where x.status = 'paid') as paid,
                      count(*) filter (where x.status = 'cancelled') as cancelled
               from stm.jobs x where x.customer_id = c.id
           ) j
           where c.id = $1"#,
        id.0,
    )
    .fetch_optional(pooler)
    .await?;
    Ok(row.map(|row| AdminCustomerDetailsView {
        customer: AdminCustomerView {
            id: row.id,
            user_id: row.user_id,
            name: row.name,
            email: row.email,
            phone: row.phone_number,
            region: row.region,
            zipcode: row.zipcode,
            status: CustomerStatus::new(row.banned_at.is_some(), row.closed_at.is_some()),
            total_jobs: row.total_jobs,
            total_spent: row.total_spent,
            created_at: Timestamp(row.created_at),
        },
        address: row.address,
        city: row.city,
        state: row.state,
        is_email_verified: row.is_email_verified,
        banned_at: row.banned_at.filter(|_| row.closed_at.is_none()).map(Timestamp),
        ban_reason: row.ban_reason,
        jobs: AdminCustomerJobsView { open: row.open, paid: row.paid, cancelled: row.cancelled },
        reviews: row.reviews,
        disputes: row.disputes,
    }))
}

/// A customer who is about to be banned, or no longer.
#[derive(Debug)]
pub(super) struct LockedCustomer {
    pub user_id: UserId,
    pub status: CustomerStatus,
}

/// Locks a customer until the transaction ends: no booking of the customer is in progress.
pub(super) async fn lock(tx: &mut Tx<Pooler>, id: CustomerId) -> sqlx::Result<Option<LockedCustomer>> {
    sqlx::query!("select id from stm.customers where id = $1 for no key update", id.0).fetch_optional(&mut *tx).await?;
    let row = sqlx::query!(
        r#"select u.id as "user_id: UserId", u.banned_at is not null as "is_banned!", u.closed_at is not null as "is_closed!"
           from stm.customers c
           join stm.users u on u.id = c.user_id
           where c.id = $1"#,
        id.0,
    )
    .fetch_optional(tx)
    .await?;
    Ok(row
        .map(|row| LockedCustomer { user_id: row.user_id, status: CustomerStatus::new(row.is_banned, row.is_closed) }))
}

/// The jobs of a locked customer that are new or in progress, in the order of their ids.
pub(super) async fn list_open_jobs(tx: &mut Tx<Pooler>, id: CustomerId) -> sqlx::Result<Vec<JobId>> {
    sqlx::query_scalar!(
        r#"select id as "id: JobId" from stm.jobs
           where customer_id = $1 and status in ('new', 'in_progress')
           order by id"#,
        id.0,
    )
    .fetch_all(tx)
    .await
}
