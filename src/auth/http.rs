//! `/auth`: login, token refresh, logout, and the current user.

use std::sync::Arc;

use axum::extract::State;
use chrono::Utc;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, Login};
use super::{AccessTokens, Caller, Logins, Passwords, RefreshTokenLifetime, password, token};
use crate::error::{Error, Result, invalid};
use crate::limits::{Limits, Policy};
use crate::state::ApiState;
use crate::types::{Role, UserId};
use crate::web::MessageView;
use crate::web::extract::Json;
use crate::web::fields::Fields;
use doors::Pooler;

/// How long a refresh token remains valid after its exchange: browser tabs refresh in parallel.
const REPLACED_GRACE: chrono::Duration = chrono::Duration::seconds(30);

/// The feature's routes.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(login)).routes(routes!(refresh)).routes(routes!(logout)).routes(routes!(me))
}

/// A user and the tokens of this login.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionView {
    pub user: UserView,
    pub access_token: String,
    pub refresh_token: String,
}

/// A user, as shown to the user.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserView {
    pub id: UserId,
    pub email: String,
    pub first_name: String,
    pub last_name: String,
    pub role: Role,
}

/// The credentials of a login.
#[derive(Deserialize, ToSchema)]
struct LoginRequest {
    #[schema(value_type = String)]
    email: Option<String>,
    #[schema(value_type = String)]
    password: Option<SecretString>,
}

/// Logs in.
///
/// # Errors
/// 401 no such e-mail address and password. 403 banned. 429 too many failures.
#[utoipa::path(post, path = "/auth/login", tag = "auth", request_body = LoginRequest,
    responses(
        (status = 200, body = SessionView),
        (status = 401, description = "No such e-mail address and password"),
        (status = 403, description = "Banned"),
    ))]
async fn login(
    State(pooler): State<Pooler>,
    State(passwords): State<Passwords>,
    logins: Logins,
    Json(request): Json<LoginRequest>,
) -> Result<Json<SessionView>> {
    let mut rules = Fields::new();
    rules.check("email", request.email.is_some(), "must not be empty");
    rules.check("password", request.password.is_some(), "must not be empty");
    rules.finish()?;
    let (email, password) = (request.email.unwrap_or_default(), request.password.unwrap_or_default());
    let Login { user, password_hash, is_banned, is_known_place } = logins.authenticate(email, password.clone()).await?;
    if is_banned {
        return Err(Error::Forbidden("banned", "this account is banned"));
    }

    let rehashed = match password_hash.filter(|hash| password::is_imported(hash)) {
        Some(imported) => Some((imported, passwords.hash(password).await?)),
        None => None,
    };
    let mut tx = pooler.write().await?;
    if let Some((imported, hash)) = &rehashed {
        queries::set_rehashed(&mut tx, user.id, imported, hash).await?;
    }
    let session = logins.open(&mut tx, user, Utc::now()).await?;
    logins.give_back(&mut tx, &session.user.email, is_known_place).await?;
    tx.commit().await?;
    Ok(Json(session))
}

/// A refresh token.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RefreshRequest {
    #[schema(value_type = String)]
    refresh_token: Option<String>,
}

/// A new pair of tokens.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TokensView {
    access_token: String,
    refresh_token: String,
}

/// Exchanges a refresh token for a new pair. The old one still answers for 30 seconds, and until the new one is used: its
/// answer may have been lost. After that its return means that it was stolen, and revokes the whole login.
///
/// # Errors
/// 401 unknown, expired, revoked or reused. 403 banned.
#[utoipa::path(post, path = "/auth/refresh", tag = "auth", request_body = RefreshRequest,
    responses(
        (status = 200, body = TokensView),
        (status = 401, description = "Unknown, expired, revoked or reused"),
        (status = 403, description = "Banned"),
    ))]
async fn refresh(
    State(pooler): State<Pooler>,
    State(access_tokens): State<Arc<AccessTokens>>,
    State(lifetime): State<RefreshTokenLifetime>,
    State(limits): State<Limits>,
    Json(request): Json<RefreshRequest>,
) -> Result<Json<TokensView>> {
    const REFUSED: Error = Error::Unauthorized("the refresh token is invalid or has expired: log in again");

    let presented = request
        .refresh_token
        .filter(|token| !token.is_empty())
        .ok_or_else(|| invalid("refreshToken", "must not be empty"))?;
    let digest = token::refresh_token_digest(&presented);
    let now = Utc::now();
    let mut tx = pooler.write().await?;
    let row = queries::lock_refresh_token(&mut tx, &digest).await?.ok_or(REFUSED)?;
    limits.count(Policy::RefreshAccount, row.user.id)?;
    if row.is_revoked || row.expires_at <= now {
        return Err(REFUSED);
    }
    if row.replaced_at.is_some_and(|replaced_at| now - replaced_at > REPLACED_GRACE) {
        if !queries::is_answer_lost(&mut tx, &digest).await? {
            queries::set_family_revoked(&mut tx, row.family_id, now).await?;
            tx.commit().await?;
            return Err(REFUSED);
        }
        queries::set_children_replaced(&mut tx, &digest).await?;
    }
    if row.is_banned {
        return Err(Error::Forbidden("banned", "this account is banned"));
    }
    queries::set_replaced(&mut tx, &digest, now).await?;
    let (refresh_token, child) = token::new_refresh_token();
    queries::insert_successor(&mut tx, &child, &digest, now + lifetime.0).await?;
    tx.commit().await?;
    let access_token = access_tokens.issue(row.user.id, row.user.email, row.user.role, Some(row.family_id), now)?;
    Ok(Json(TokensView { access_token, refresh_token }))
}

/// Ends this login: revokes its refresh tokens and closes the user's sockets.
#[utoipa::path(post, path = "/auth/logout", tag = "auth", security(("access_token" = [])),
    responses((status = 200, body = MessageView), (status = 401, description = "No valid access token")))]
async fn logout(State(pooler): State<Pooler>, who: Caller) -> Result<Json<MessageView>> {
    // A token without a login has nothing to revoke here; it ends when it expires.
    if let Some(login) = who.login {
        let mut tx = pooler.write().await?;
        queries::set_family_revoked(&mut tx, login, Utc::now()).await?;
        tx.commit().await?;
    }
    Ok(Json(MessageView::new("Logged out successfully")))
}

/// The calling user.
///
/// # Errors
/// 401 no valid token, or its user is banned or deleted.
#[utoipa::path(get, path = "/auth/me", tag = "auth", security(("access_token" = [])),
    responses((status = 200, body = UserView), (status = 401, description = "No valid access token")))]
async fn me(State(pooler): State<Pooler>, who: Caller) -> Result<Json<UserView>> {
    let user = queries::find_user(&pooler, who.user_id).await?;
    user.map(Json).ok_or(Error::Unauthorized("this account cannot be used any more"))
}
