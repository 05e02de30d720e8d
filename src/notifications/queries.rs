//! Notification rows.

use std::collections::{HashMap, HashSet};

use super::{Created, NewNotification, NotificationType, NotificationView};
use crate::types::{NotificationId, Role, UserId};
use doors::{Direct, Door, Pooler, Tx};

/// Inserts a notification.
pub(crate) async fn insert<D: Door>(tx: &mut Tx<D>, new: NewNotification) -> sqlx::Result<Created> {
    let row = sqlx::query!(
        r#"select id as "id!: NotificationId", created_at as "created_at!", role as "role!: Role",
                  total_unread_count as "total_unread_count!"
           from stm.insert_notification_v1($1, $2, $3, $4, $5)"#,
        new.recipient_id.0,
        new.kind.as_str(),
        &*new.title,
        new.message,
        new.metadata,
    )
    .fetch_one(tx)
    .await?;
    Ok(Created::new(new, row.id, row.role, row.created_at, row.total_unread_count))
}

/// Inserts the same notification for each of these users.
pub(crate) async fn insert_same<D: Door>(
    tx: &mut Tx<D>,
    recipients: &[UserId],
    kind: NotificationType,
    title: &str,
    message: &str,
) -> sqlx::Result<Vec<Created>> {
    let recipients: Vec<i64> = recipients.iter().map(|user| user.0).collect();
    let rows = sqlx::query!(
        r#"with created as (
               insert into stm.notifications (recipient_id, type, title, message)
               select recipient, $2, $3, $4 from unnest($1::bigint[]) recipient
               returning id, recipient_id, metadata, created_at)
           select c.id as "id: NotificationId", c.metadata, c.created_at, u.id as "recipient_id: UserId",
                  u.role as "role: Role",
                  1 + (select count(*) from stm.notifications n where n.recipient_id = u.id and n.read_at is null)
                      as "total_unread_count!"
           from created c
           join stm.users u on u.id = c.recipient_id"#,
        &recipients,
        kind.as_str(),
        title,
        message,
    )
    .fetch_all(tx)
    .await?;
    let created = rows.into_iter().map(|row| Created {
        notification: NotificationView {
            id: row.id,
            recipient_type: row.role,
            recipient_id: row.recipient_id,
            kind,
            title: title.to_owned(),
            message: message.to_owned(),
            is_read: false,
            created_at: row.created_at.into(),
            metadata: row.metadata,
        },
        total_unread_count: row.total_unread_count,
    });
    Ok(created.collect())
}

/// Counts the unread notifications of each of these users; users without any are left out.
pub(crate) async fn count_unread(direct: &Direct, users: &HashSet<UserId>) -> sqlx::Result<HashMap<UserId, i64>> {
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

/// Selects some of a user's notifications.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filter {
    pub kind: Option<NotificationType>,
    pub is_read: Option<bool>,
    /// Only those older than this one.
    pub before: Option<NotificationId>,
    pub limit: i64,
    pub offset: i64,
}

/// A part of a user's notifications.
#[derive(Debug)]
pub(crate) struct NotificationPage {
    /// Newest first.
    pub notifications: Vec<NotificationView>,
    /// How many match the filter's `kind` and `is_read`.
    pub total: i64,
    /// How many are unread, of any kind.
    pub unread: i64,
}

/// Lists a user's notifications, newest first.
pub(crate) async fn list(pooler: &Pooler, user: UserId, filter: Filter) -> sqlx::Result<NotificationPage> {
    let rows = sqlx::query!(
        r#"select role as "role!: Role", total as "total!", unread as "unread!", id as "id: NotificationId",
                  kind as "kind: NotificationType", title, message, is_read, created_at, metadata
           from stm.list_notifications_v1($1, $2, $3, $4, $5, $6)"#,
        user.0,
        filter.kind.map(NotificationType::as_str),
        filter.is_read,
        filter.before.map(|id| id.0),
        filter.limit,
        filter.offset,
    )
    .fetch_all(pooler)
    .await?;
    let (total, unread) = rows.first().map_or((0, 0), |row| (row.total, row.unread));
    // A page without notifications is one row of nulls.
    let notifications = rows.into_iter().filter_map(|row| {
        Some(NotificationView {
            id: row.id?,
            recipient_type: row.role,
            recipient_id: user,
            kind: row.kind?,
            title: row.title?,
            message: row.message?,
            is_read: row.is_read?,
            created_at: row.created_at?.into(),
            metadata: row.metadata?,
        })
    });
    Ok(NotificationPage { notifications: notifications.collect(), total, unread })
}

/// Counts the unread notifications of a user.
pub(crate) async fn count_unread_of(pooler: &Pooler, user: UserId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "unread!" from stm.notifications where recipient_id = $1 and read_at is null"#,
        user.0
    )
    .fetch_one(pooler)
    .await
}

/// Finds one of a user's notifications.
pub(crate) async fn find(pooler: &Pooler, id: NotificationId, user: UserId) -> sqlx::Result<Option<NotificationView>> {
    sqlx::query_as!(
        NotificationView,
        r#"select n.id as "id: NotificationId", u.role as "recipient_type: Role", u.id as "recipient_id: UserId",
                  n.type as "kind: NotificationType", n.title, n.message, n.read_at is not null as "is_read!",
                  n.created_at, n.metadata
           from stm.notifications n
           join stm.users u on u.id = n.recipient_id
           where n.id = $1 and n.recipient_id = $2"#,
        id.0,
        user.0,
    )
    .fetch_optional(pooler)
    .await
}

/// Marks one of a user's notifications as read, and keeps the time of the first read.
/// Returns `None` if this user has no such notification.
pub(crate) async fn set_read(
    tx: &mut Tx<Pooler>,
    id: NotificationId,
    user: UserId,
) -> sqlx::Result<Option<NotificationView>> {
    sqlx::query_as!(
        NotificationView,
        r#"update stm.notifications n
           set read_at = coalesce(n.read_at, now())
           from stm.users u
           where n.id = $1 and n.recipient_id = $2 and u.id = n.recipient_id
           returning n.id as "id: NotificationId", u.role as "recipient_type: Role", u.id as "recipient_id: UserId",
                     n.type as "kind: NotificationType", n.title, n.message, n.read_at is not null as "is_read!",
                     n.created_at, n.metadata"#,
        id.0,
        user.0,
    )
    .fetch_optional(tx)
    .await
}

/// Marks all of a user's notifications as read. Returns how many were unread.
pub(crate) async fn set_all_read(tx: &mut Tx<Pooler>, user: UserId) -> sqlx::Result<i64> {
    let changed = sqlx::query!(
        "update stm.notifications set read_at = now() where recipient_id = $1 and read_at is null",
        user.0
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected().cast_signed())
}

/// Deletes one of a user's notifications. Returns `false` if this user has no such notification.
pub(crate) async fn delete(tx: &mut Tx<Pooler>, id: NotificationId, user: UserId) -> sqlx::Result<bool> {
    let deleted = sqlx::query!("delete from stm.notifications where id = $1 and recipient_id = $2", id.0, user.0)
        .execute(tx)
        .await?;
    Ok(deleted.rows_affected() == 1)
}

/// Deletes all that a user has read. Returns how many there were.
pub(crate) async fn delete_read(tx: &mut Tx<Pooler>, user: UserId) -> sqlx::Result<i64> {
    let deleted = sqlx::query!("delete from stm.notifications where recipient_id = $1 and read_at is not null", user.0)
        .execute(tx)
        .await?;
    Ok(deleted.rows_affected().cast_signed())
}
