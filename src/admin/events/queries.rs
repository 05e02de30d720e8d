//! SQL of what admins do.

use super::http::{AdminEventView, AdminNameView};
use super::types::{AdminAction, AdminEvent, AdminSubject};
use crate::types::{Timestamp, UserId};
use crate::web::page::PageRequest;
use doors::{Pooler, Tx};

/// Inserts a record.
pub(in crate::admin) async fn insert(tx: &mut Tx<Pooler>, event: &AdminEvent) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into stm.admin_events (actor_id, action, subject, subject_id, before, after)
         values ($1, $2, $3, $4, $5, $6)",
        event.actor.0,
        event.action.as_str(),
        event.subject.as_str(),
        event.subject_id,
        event.before,
        event.after,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// A selection of the records.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventFilter {
    pub actor: Option<UserId>,
    pub action: Option<AdminAction>,
    pub subject: Option<AdminSubject>,
    pub subject_id: Option<i64>,
    pub page: PageRequest,
}

/// A page of the records, newest first, and their total number.
pub(super) async fn list(pooler: &Pooler, filter: &EventFilter) -> sqlx::Result<(Vec<AdminEventView>, i64)> {
    let rows = sqlx::query!(
        r#"with found as not materialized (
               select e.id, e.actor_id, e.action, e.subject, e.subject_id, e.before, e.after, e.at
               from stm.admin_events e
               where ($1::bigint is null or e.actor_id = $1)
                 and ($2::text is null or e.action = $2)
                 and ($3::text is null or e.subject = $3)
                 and ($4::bigint is null or e.subject_id = $4)
           ), page as (
               select * from found f order by f.id desc limit $5 offset $6
           )
           select (select count(*) from found) as "total!", f.id as "id!", u.id as "actor_id: UserId", u.email,
                  u.first_name || ' ' || u.last_name as "actor_name!", f.action as "action!: AdminAction",
                  f.subject as "subject!: AdminSubject", f.subject_id, f.before, f.after, f.at as "at!"
           from page f
           join stm.users u on u.id = f.actor_id
           order by f.id desc"#,
        filter.actor.map(|actor| actor.0),
        filter.action.map(AdminAction::as_str),
        filter.subject.map(AdminSubject::as_str),
        filter.subject_id,
        filter.page.limit,
        filter.page.offset(),
    )
    .fetch_all(pooler)
    .await?;
    let total = match rows.first() {
        Some(row) => row.total,
        None if filter.page.page == 1 => 0,
        None => Box::pin(list(pooler, &EventFilter { page: PageRequest::ONE_ROW, ..*filter })).await?.1,
    };
    let events = rows.into_iter().map(|row| AdminEventView {
        id: row.id,
        actor: AdminNameView { id: row.actor_id, name: row.actor_name, email: row.email },
        action: row.action,
        subject: row.subject,
        subject_id: row.subject_id,
        before: row.before,
        after: row.after,
        at: Timestamp(row.at),
    });
    Ok((events.collect(), total))
}
