//! Notification rows.

use std::collections::{HashMap, HashSet};

use super::{Created, NewNotification, NotificationId, NotificationView};
use crate::auth::{Role, UserId};
use crate::db::{Direct, Pooler, Tx};

/// Inserts a notification.
///
/// # Errors
/// Those of the database.
pub async fn insert(tx: &mut Tx<Pooler>, new: NewNotification) -> sqlx::Result<Created> {
    let row = sqlx::query!(
        r#"with created as (
               insert into stm.notifications (recipient_id, type, title, message, metadata)
               values ($1, $2, $3, $4, $5)
               returning id, recipient_id, created_at)
           select c.id as "id: NotificationId", c.created_at, u.role as "role: Role",
                  1 + (select count(*) from stm.notifications n where n.recipient_id = u.id and n.read_at is null)
                      as "total_unread_count!"
           from created c
           join stm.users u on u.id = c.recipient_id"#,
        new.recipient_id.0,
        new.kind.as_str(),
        &*new.title,
        new.message,
        new.metadata,
    )
    .fetch_one(tx)
    .await?;
    let notification = NotificationView {
        id: row.id,
        recipient_type: row.role,
        recipient_id: new.recipient_id,
        kind: new.kind,
        title: new.title.into_owned(),
        message: new.message,
        is_read: false,
        created_at: row.created_at.into(),
        metadata: new.metadata,
    };
    Ok(Created { notification, total_unread_count: row.total_unread_count })
}

/// How many unread notifications each of these users has; somebody without any is not in it.
///
/// # Errors
/// Those of the database.
pub async fn count_unread(direct: &Direct, users: &HashSet<UserId>) -> sqlx::Result<HashMap<UserId, i64>> {
    let users: Vec<i64> = users.iter().map(|user| user.0).collect();
    let rows = sqlx::query!(
        r#"select recipient_id as "recipient_id: UserId", count(*) as "unread!"
           from stm.notifications
           where recipient_id = any($1) and read_at is null
           group by recipient_id"#,
        &users,
    )
    .fetch_all(direct)
    .await?;
    Ok(rows.into_iter().map(|row| (row.recipient_id, row.unread)).collect())
}
