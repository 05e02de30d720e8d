//! `/chat/{customer,provider,lsm}/chats`: the caller's chats.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::MessageView;
use super::list_queries::{self, ChatRow, ManagerRow, PersonRow};
use crate::auth::{Customer, Lsm, Provider};
use crate::error::Result;
use crate::files::FileUrls;
use crate::realtime::Connections;
use crate::state::ApiState;
use crate::types::{ChatId, CustomerId, JobId, JobStatus, ProviderId, Side, Timestamp, UserId};
use crate::web::extract::{Json, Query};
use crate::web::fields::{Fields, MAX_LIMIT};
use doors::Pooler;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(customer_chats)).routes(routes!(provider_chats)).routes(routes!(lsm_chats))
}

/// A part of the list.
#[derive(Deserialize, IntoParams)]
struct ChatsQuery {
    /// The maximum number of rows, 1 to 100; 100 by default.
    limit: Option<i64>,
    /// The number of rows to skip, 0 to 100,000.
    offset: Option<i64>,
}

/// A chat in a member's list.
#[derive(Serialize, ToSchema)]
struct ListedChatView {
    id: ChatId,
    job: ChatJobView,
    /// The booked provider: for customers and LSMs.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<ChatProviderView>,
    /// The customer who booked: for providers and LSMs.
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<ChatCustomerView>,
    /// Whether a local service manager is a member.
    lsm_joined: bool,
    /// The local service manager who is a member; null if there is none.
    #[serde(rename = "localServiceManager")]
    local_service_manager: Option<ChatManagerView>,
    /// The newest message; null if there is none.
    #[serde(rename = "lastMessage")]
    last_message: Option<MessageView>,
    /// How many messages of others the caller has not read; 0 in a closed chat.
    #[serde(rename = "unreadCount")]
    unread_count: i64,
    created_at: Timestamp,
}

/// The job of a chat.
#[derive(Serialize, ToSchema)]
struct ChatJobView {
    id: JobId,
    service: ChatServiceView,
    status: JobStatus,
}

/// The booked service.
#[derive(Serialize, ToSchema)]
struct ChatServiceView {
    name: String,
    category: String,
}

/// The booked provider.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ChatProviderView {
    id: ProviderId,
    business_name: String,
    /// First and last name.
    owner_name: String,
    user: ChatUserView,
    /// Whether the user is connected to the chat.
    online: bool,
    /// When the user was last seen; null while online, or if never.
    last_seen: Option<Timestamp>,
}

/// The customer who booked.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ChatCustomerView {
    id: CustomerId,
    /// First and last name.
    name: String,
    user: ChatUserView,
    /// Whether the user is connected to the chat.
    online: bool,
    /// When the user was last seen; null while online, or if never.
    last_seen: Option<Timestamp>,
}

/// A local service manager in the chat.
#[derive(Serialize, ToSchema)]
struct ChatManagerView {
    id: i64,
    user: ChatManagerUserView,
}

/// The name of a local service manager.
#[derive(Serialize, ToSchema)]
struct ChatManagerUserView {
    first_name: String,
    last_name: String,
}

/// A member's user.
#[derive(Serialize, ToSchema)]
struct ChatUserView {
    id: UserId,
    first_name: String,
    last_name: String,
    /// The URL of a picture.
    profile_picture: Option<String>,
}

impl ListedChatView {
    /// As a member on `side` sees it: who is on the other ones.
    fn new(row: ChatRow, side: Side, connections: &Connections, urls: &FileUrls) -> Self {
        let presence = |person: &PersonRow| {
            let online = connections.is_online(person.id);
            (online, person.last_seen_at.filter(|_| !online))
        };
        let ((provider_online, provider_last_seen), (customer_online, customer_last_seen)) =
            (presence(&row.provider), presence(&row.customer));
        let provider = ChatProviderView {
            id: row.provider_id,
            business_name: row.business_name,
            owner_name: row.provider.name(),
            user: row.provider.into(),
            online: provider_online,
            last_seen: provider_last_seen,
        };
        let customer = ChatCustomerView {
            id: row.customer_id,
            name: row.customer.name(),
            user: row.customer.into(),
            online: customer_online,
            last_seen: customer_last_seen,
        };
        Self {
            id: row.id,
            job: ChatJobView {
                id: row.job_id,
                service: ChatServiceView { name: row.service_name, category: row.service_category },
                status: row.job_status,
            },
            provider: (side != Side::ServiceProvider).then_some(provider),
            customer: (side != Side::Customer).then_some(customer),
            lsm_joined: row.manager.is_some(),
            local_service_manager: row.manager.map(|ManagerRow { id, first_name, last_name }| ChatManagerView {
                id,
                user: ChatManagerUserView { first_name, last_name },
            }),
            last_message: row.last_message.map(|message| message.with_urls(row.id, urls)),
            unread_count: row.unread,
            created_at: row.created_at,
        }
    }
}

impl PersonRow {
    fn name(&self) -> String {
        format!("{} {}", self.first_name, self.last_name)
    }
}

impl From<PersonRow> for ChatUserView {
    fn from(row: PersonRow) -> Self {
        Self { id: row.id, first_name: row.first_name, last_name: row.last_name, profile_picture: row.profile_picture }
    }
}

/// Lists the calling customer's chats, the most recent activity first.
///
/// # Errors
/// 400 a parameter breaks a rule. 403 not a customer.
#[utoipa::path(get, path = "/chat/customer/chats", tag = "chat", security(("customer" = [])), params(ChatsQuery),
    responses((status = 200, body = Vec<ListedChatView>)))]
async fn customer_chats(
    State(pooler): State<Pooler>,
    State(connections): State<Connections>,
    State(urls): State<FileUrls>,
    who: Customer,
    Query(query): Query<ChatsQuery>,
) -> Result<Json<Vec<ListedChatView>>> {
    chats(&pooler, (&connections, &urls), who.user_id, Side::Customer, &query).await
}

/// Lists the calling provider's chats, the most recent activity first.
///
/// # Errors
/// 400 a parameter breaks a rule. 403 not a provider.
#[utoipa::path(get, path = "/chat/provider/chats", tag = "chat", security(("provider" = [])), params(ChatsQuery),
    responses((status = 200, body = Vec<ListedChatView>)))]
async fn provider_chats(
    State(pooler): State<Pooler>,
    State(connections): State<Connections>,
    State(urls): State<FileUrls>,
    who: Provider,
    Query(query): Query<ChatsQuery>,
) -> Result<Json<Vec<ListedChatView>>> {
    chats(&pooler, (&connections, &urls), who.user_id, Side::ServiceProvider, &query).await
}

/// Lists the chats that the calling local service manager has joined, the most recent activity first.
///
/// # Errors
/// 400 a parameter breaks a rule. 403 not a local service manager.
#[utoipa::path(get, path = "/chat/lsm/chats", tag = "chat", security(("local_service_manager" = [])),
    params(ChatsQuery),
    responses((status = 200, body = Vec<ListedChatView>)))]
async fn lsm_chats(
    State(pooler): State<Pooler>,
    State(connections): State<Connections>,
    State(urls): State<FileUrls>,
    who: Lsm,
    Query(query): Query<ChatsQuery>,
) -> Result<Json<Vec<ListedChatView>>> {
    chats(&pooler, (&connections, &urls), who.user_id, Side::LocalServiceManager, &query).await
}

async fn chats(
    pooler: &Pooler,
    (connections, urls): (&Connections, &FileUrls),
    user: UserId,
    side: Side,
    query: &ChatsQuery,
) -> Result<Json<Vec<ListedChatView>>> {
    let mut rules = Fields::new();
    let limit = rules.limit(query.limit, MAX_LIMIT);
    let offset = rules.offset(query.offset);
    rules.finish()?;
    let rows = list_queries::list(pooler, user, side, limit, offset).await?;
    Ok(Json(rows.into_iter().map(|row| ListedChatView::new(row, side, connections, urls)).collect()))
}
