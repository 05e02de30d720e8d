//! `/auth`: login, token refresh, logout, and the current user.

use std::sync::Arc;

use axum::extract::State;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::queries;
use super::{AccessTokens, Caller, Passwords, RefreshTokenLifetime, password, token};
use crate::error::{Error, Result, invalid};
use crate::state::ApiState;
use crate::types::{Role, UserId};
use crate::web::MessageView;
use crate::web::extract::Json;
use crate::web::fields::Fields;
use crate::web::text;
use doors::{Pooler, Tx};

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

/// Opens a login on one device: a new family of refresh tokens.
pub(crate) async fn open_login(
    tx: &mut Tx<Pooler>,
    user_id: UserId,
    expires_at: DateTime<Utc>,
) -> sqlx::Result<(Uuid, String)> {
    let family_id = Uuid::now_v7();
    let (token, digest) = token::new_refresh_token();
    queries::insert_refresh_token(tx, &digest, family_id, user_id, expires_at, None).await?;
    Ok((family_id, token))
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
/// 401 no such e-mail address and password. 403 banned.
#[utoipa::path(post, path = "/auth/login", tag = "auth", request_body = LoginRequest,
    responses(
        (status = 200, body = SessionView),
        (status = 401, description = "No such e-mail address and password"),
        (status = 403, description = "Banned"),
    ))]
async fn login(
    State(pooler): State<Pooler>,
    State(passwords): State<Passwords>,
    State(access_tokens): State<Arc<AccessTokens>>,
    State(lifetime): State<RefreshTokenLifetime>,
    Json(request): Json<LoginRequest>,
) -> Result<Json<SessionView>> {
    let mut rules = Fields::new();
    rules.check("email", request.email.is_some(), "must not be empty");
    rules.check("password", request.password.is_some(), "must not be empty");
    rules.finish()?;
    let (email, password) = (request.email.unwrap_or_default(), request.password.unwrap_or_default());

    let found = match text::email(&email) {
        Some(email) => queries::find_login(&pooler, &email).await?,
        None => None,
    };
    let hash = found.as_ref().and_then(|login| login.password_hash.clone());
    let matches = password::acceptable_length(&password) && passwords.verify(password.clone(), hash.clone()).await?;
    let Some(login) = found.filter(|_| matches) else {
        return Err(Error::Unauthorized("e-mail address or password is wrong"));
    };
    if login.is_banned {
        return Err(Error::Forbidden("banned", "this account is banned"));
    }

    let rehashed = match hash.filter(|hash| password::is_imported(hash)) {
        Some(imported) => Some((imported, passwords.hash(password).await?)),
        None => None,
    };
    let now = Utc::now();
    let mut tx = pooler.write().await?;
    let user = login.user;
    if let Some((imported, hash)) = &rehashed {
        queries::set_rehashed(&mut tx, user.id, imported, hash).await?;
    }
    let (login, refresh_token) = open_login(&mut tx, user.id, now + lifetime.0).await?;
    tx.commit().await?;
    let access_token = access_tokens.issue(user.id, user.email.clone(), user.role, Some(login), now)?;
    Ok(Json(SessionView { user, access_token, refresh_token }))
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
    queries::insert_refresh_token(&mut tx, &child, row.family_id, row.user.id, now + lifetime.0, Some(&digest)).await?;
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
