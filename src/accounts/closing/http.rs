//! `DELETE /auth/me`.

use axum::extract::State;
use chrono::Utc;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use crate::auth::{self, Caller, Logins};
use crate::error::{Error, Result, invalid};
use crate::files;
use crate::mail::{self, Letter};
use crate::outbox::{Notifier, Outbox};
use crate::providers::status::{self, Actor, Command};
use crate::state::ApiState;
use crate::types::{Role, UserId};
use crate::web::MessageView;
use crate::web::extract::Json;
use doors::{Pooler, Tx};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(close_me))
}

/// The caller's password.
#[derive(Deserialize, ToSchema)]
struct CloseRequest {
    #[schema(value_type = String)]
    password: Option<SecretString>,
}

/// Closes the calling customer's or provider's account: erases personal data, ends every login, closes the sockets.
///
/// # Errors
/// 400 the password is missing or wrong, or the account has none. 401 no valid token. 403 an LSM or admin. 409 a job is open.
#[utoipa::path(delete, path = "/auth/me", tag = "auth", security(("access_token" = [])), request_body = CloseRequest,
    responses(
        (status = 200, body = MessageView),
        (status = 400, description = "The password is missing or wrong"),
        (status = 403, description = "LSMs and admins are removed by an admin"),
        (status = 409, description = "A job is open"),
    ))]
async fn close_me(
    State(pooler): State<Pooler>,
    logins: Logins,
    State(notifier): State<Notifier>,
    who: Caller,
    Json(request): Json<CloseRequest>,
) -> Result<Json<MessageView>> {
    match who.role {
        Role::Customer | Role::ServiceProvider => {}
        Role::LocalServiceManager | Role::Admin => {
            return Err(Error::Forbidden("wrong_role", "accounts of LSMs and admins are removed by an admin"));
        }
    }
    let given = request.password.ok_or_else(|| invalid("password", "must not be empty"))?;
    let account = queries::find(&pooler, who.user_id).await?;
    let account = account.ok_or(Error::Unauthorized("this account cannot be used any more"))?;
    if account.password_hash.is_none() {
        let why = "this account has no password yet: set one with /auth/forgot-password, and close it with that";
        return Err(Error::Refused("no_password", why.into()));
    }
    if !logins.check(&account.email, given, account.password_hash).await? {
        return Err(Error::Refused("wrong_password", "the password is wrong".into()));
    }

    let now = Utc::now();
    let mut tx = pooler.write().await?;
    queries::lock(&mut tx, who.user_id).await?;
    // A separate statement: it sees the bookings that the locks have waited for.
    if queries::has_open_jobs(&mut tx, who.user_id).await? {
        let why = "you have an open job: complete or cancel it first";
        return Err(Error::Conflict("open_jobs", why.into()));
    }
    let outbox = leave(&mut tx, who.user_id).await?;
    // Tokens before the user, as a refresh locks them.
    auth::queries::set_all_revoked(&mut tx, who.user_id, now).await?;
    queries::erase_rows(&mut tx, who.user_id).await?;
    files::delete_of_owner(&mut tx, who.user_id).await?;
    if !queries::erase_user(&mut tx, who.user_id, now).await? {
        return Err(Error::Unauthorized("this account cannot be used any more"));
    }
    mail::queue(&mut tx, who.user_id, &account.email, &Letter::AccountClosed, None).await?;
    tx.commit().await?;
    notifier.publish(outbox);
    Ok(Json(MessageView::new("Your account is closed")))
}

/// Takes a provider out, and notifies its LSM. Does nothing for a customer.
async fn leave(tx: &mut Tx<Pooler>, user: UserId) -> Result<Outbox> {
    let Some(provider) = status::lock_of_user(tx, user).await? else { return Ok(Outbox::default()) };
    status::change(tx, &provider, Command::Close, (Actor::Provider, user), None).await
}
