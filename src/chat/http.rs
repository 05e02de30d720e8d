//! `/chat`: history.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, Window};
use super::{MessageView, files, lists};
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::files::FileUrls;
use crate::state::ApiState;
use crate::types::ChatId;
use crate::web::extract::{Json, Path, Query};
use crate::web::fields::{Fields, MAX_LIMIT};
use doors::Pooler;

/// The feature's routes.
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(messages)).merge(files::routes()).merge(lists::routes())
}

/// A part of the history; by default the newest 100 messages.
#[derive(Deserialize, IntoParams)]
struct MessagesQuery {
    /// The maximum number of rows, 1 to 100.
    limit: Option<i64>,
    /// Returns only messages before this `seq`: the newest of them.
    before: Option<i64>,
    /// Returns only messages after this `seq`: the oldest of them.
    after: Option<i64>,
}

/// A part of a chat's history.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MessagesView {
    chat_id: ChatId,
    /// Oldest first.
    messages: Vec<MessageView>,
}

/// Returns a part of a chat's history. Only for its members.
///
/// # Errors
/// 400 a parameter breaks a rule. 404 no such chat, or the caller is not a member.
#[utoipa::path(get, path = "/chat/{id}/messages", tag = "chat", security(("access_token" = [])),
    params(("id" = ChatId, Path), MessagesQuery),
    responses((status = 200, body = MessagesView), (status = 404, description = "No such chat, or not a member")))]
async fn messages(
    State(pooler): State<Pooler>,
    State(urls): State<FileUrls>,
    who: Caller,
    Path(id): Path<ChatId>,
    Query(query): Query<MessagesQuery>,
) -> Result<Json<MessagesView>> {
    let mut rules = Fields::new();
    let limit = rules.limit(query.limit, MAX_LIMIT);
    rules.check("before", query.before.is_none_or(|seq| seq >= 1), "must be at least 1");
    rules.check("after", query.after.is_none_or(|seq| seq >= 0), "must be at least 0");
    rules.finish()?;
    let window = Window { after: query.after, before: query.before, limit };
    let messages = queries::list_messages(&pooler, id, who.user_id, window).await?.ok_or(Error::NotFound("chat"))?;
    let messages = messages.into_iter().map(|message| message.with_urls(id, &urls)).collect();
    Ok(Json(MessagesView { chat_id: id, messages }))
}
