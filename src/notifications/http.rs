//! `/notifications`: the caller's own, in any role.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, Filter};
use super::{NotificationType, NotificationView};
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::state::ApiState;
use crate::types::NotificationId;
use crate::web::MessageView;
use crate::web::extract::{Json, Path, Query};
use crate::web::fields::Fields;
use doors::Pooler;

/// How many notifications one answer holds unless the client says otherwise.
const DEFAULT_LIMIT: i64 = 20;

/// The feature's routes.
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(notifications))
        .routes(routes!(unread_count))
        .routes(routes!(mark_all_read))
        .routes(routes!(clear_read))
        .routes(routes!(notification, delete))
        .routes(routes!(mark_read))
}

/// A selection of the notifications.
#[derive(Deserialize, IntoParams)]
struct NotificationsQuery {
    /// Returns only notifications of this type.
    #[serde(rename = "type")]
    #[param(inline)]
    kind: Option<NotificationType>,
    /// Returns only read notifications, or only unread ones.
    is_read: Option<bool>,
    /// The maximum number of rows, 1 to 100; 20 by default.
    limit: Option<i64>,
    /// The number of rows to skip, 0 to 100,000. New notifications shift it: prefer `before` to read on.
    offset: Option<i64>,
    /// Returns only notifications older than this one, the last of the previous page.
    before: Option<NotificationId>,
}

/// A part of the caller's notifications.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NotificationsView {
    /// Newest first.
    notifications: Vec<NotificationView>,
    /// How many match `type` and `is_read`.
    total: i64,
    limit: i64,
    offset: i64,
    /// How many the caller has not read, regardless of the selection.
    unread_count: i64,
}

/// A number of notifications.
#[derive(Serialize, ToSchema)]
#[schema(as = NotificationCountView)]
struct CountView {
    count: i64,
}

/// Lists the caller's notifications, newest first.
///
/// # Errors
/// 400 a parameter breaks a rule.
#[utoipa::path(get, path = "/notifications", tag = "notifications", security(("access_token" = [])),
    params(NotificationsQuery),
    responses((status = 200, body = NotificationsView)))]
async fn notifications(
    State(pooler): State<Pooler>,
    who: Caller,
    Query(query): Query<NotificationsQuery>,
) -> Result<Json<NotificationsView>> {
    let mut rules = Fields::new();
    let limit = rules.limit(query.limit, DEFAULT_LIMIT);
    let offset = rules.offset(query.offset);
    rules.finish()?;
    let filter = Filter { kind: query.kind, is_read: query.is_read, before: query.before, limit, offset };
    let page = queries::list(&pooler, who.user_id, filter).await?;
    Ok(Json(NotificationsView {
        notifications: page.notifications,
        total: page.total,
        limit,
        offset,
        unread_count: page.unread,
    }))
}

/// Counts the notifications that the caller has not read.
#[utoipa::path(get, path = "/notifications/unread-count", tag = "notifications", security(("access_token" = [])),
    responses((status = 200, body = CountView)))]
async fn unread_count(State(pooler): State<Pooler>, who: Caller) -> Result<Json<CountView>> {
    let count = queries::count_unread_of(&pooler, who.user_id).await?;
    Ok(Json(CountView { count }))
}

/// Marks all of the caller's notifications as read. Returns how many were unread.
#[utoipa::path(patch, path = "/notifications/mark-all-read", tag = "notifications", security(("access_token" = [])),
    responses((status = 200, body = CountView)))]
async fn mark_all_read(State(pooler): State<Pooler>, who: Caller) -> Result<Json<CountView>> {
    let mut tx = pooler.write().await?;
    let count = queries::set_all_read(&mut tx, who.user_id).await?;
    tx.commit().await?;
    Ok(Json(CountView { count }))
}

/// Deletes the notifications that the caller has read. Returns how many.
#[utoipa::path(delete, path = "/notifications/clear-read", tag = "notifications", security(("access_token" = [])),
    responses((status = 200, body = CountView)))]
async fn clear_read(State(pooler): State<Pooler>, who: Caller) -> Result<Json<CountView>> {
    let mut tx = pooler.write().await?;
    let count = queries::delete_read(&mut tx, who.user_id).await?;
    tx.commit().await?;
    Ok(Json(CountView { count }))
}

/// Returns one of the caller's notifications.
///
/// # Errors
/// 404 no such notification, or it is somebody else's.
#[utoipa::path(get, path = "/notifications/{id}", tag = "notifications", security(("access_token" = [])),
    params(("id" = NotificationId, Path)),
    responses(
        (status = 200, body = NotificationView),
        (status = 404, description = "No such notification, or somebody else's"),
    ))]
async fn notification(
    State(pooler): State<Pooler>,
    who: Caller,
    Path(id): Path<NotificationId>,
) -> Result<Json<NotificationView>> {
    queries::find(&pooler, id, who.user_id).await?.map(Json).ok_or(Error::NotFound("notification"))
}

/// Marks one of the caller's notifications as read. A repetition changes nothing.
///
/// # Errors
/// 404 no such notification, or it is somebody else's.
#[utoipa::path(patch, path = "/notifications/{id}/read", tag = "notifications", security(("access_token" = [])),
    params(("id" = NotificationId, Path)),
    responses(
        (status = 200, body = NotificationView),
        (status = 404, description = "No such notification, or somebody else's"),
    ))]
async fn mark_read(
    State(pooler): State<Pooler>,
    who: Caller,
    Path(id): Path<NotificationId>,
) -> Result<Json<NotificationView>> {
    let mut tx = pooler.write().await?;
    let notification = queries::set_read(&mut tx, id, who.user_id).await?.ok_or(Error::NotFound("notification"))?;
    tx.commit().await?;
    Ok(Json(notification))
}

/// Deletes one of the caller's notifications.
///
/// # Errors
/// 404 no such notification, or it is somebody else's.
#[utoipa::path(delete, path = "/notifications/{id}", tag = "notifications", security(("access_token" = [])),
    params(("id" = NotificationId, Path)),
    responses(
        (status = 200, body = MessageView),
        (status = 404, description = "No such notification, or somebody else's"),
    ))]
async fn delete(
    State(pooler): State<Pooler>,
    who: Caller,
    Path(id): Path<NotificationId>,
) -> Result<Json<MessageView>> {
    let mut tx = pooler.write().await?;
    if !queries::delete(&mut tx, id, who.user_id).await? {
        return Err(Error::NotFound("notification"));
    }
    tx.commit().await?;
    Ok(Json(MessageView::new("Notification deleted successfully")))
}
