//! `GET /auth/profile`, `PATCH /auth/me`, `GET /auth/me/export`.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, Change};
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::state::ApiState;
use crate::types::{Role, Timestamp, UserId};
use crate::web::extract::Json;
use crate::web::fields::{Fields, SHORT_TEXT};
use crate::web::text;
use doors::Pooler;

/// The answer to a token whose account is banned or gone.
const GONE: Error = Error::Unauthorized("this account cannot be used any more");

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(profile)).routes(routes!(change_me)).routes(routes!(export))
}

/// A user with the row of the role.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) struct AccountProfileView {
    pub id: UserId,
    pub email: String,
    pub first_name: String,
    pub last_name: String,
    pub phone_number: Option<String>,
    pub role: Role,
    pub profile_picture: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// When the newest login was opened.
    pub last_login: Option<Timestamp>,
    pub is_email_verified: bool,
    /// The role's row, with `region`, `area`, `zipCode` and `zip_code` in every role.
    #[serde(rename = "roleData")]
    #[schema(value_type = Object)]
    pub role_data: serde_json::Value,
}

/// Returns the calling user's profile.
///
/// # Errors
/// 401 no valid token, or its user is banned or closed.
#[utoipa::path(get, path = "/auth/profile", tag = "auth", security(("access_token" = [])),
    responses((status = 200, body = AccountProfileView)))]
async fn profile(State(pooler): State<Pooler>, who: Caller) -> Result<Json<AccountProfileView>> {
    queries::find(&pooler, who.user_id).await?.map(Json).ok_or(GONE)
}

/// What the caller changes: what is left out, null or blank stays.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MeRequest {
    first_name: Option<String>,
    last_name: Option<String>,
    /// A US phone number, in any notation.
    phone_number: Option<String>,
    /// An http or https URL.
    profile_picture: Option<String>,
}

/// A user after a change.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) struct MeView {
    pub id: UserId,
    pub email: String,
    pub first_name: String,
    pub last_name: String,
    pub phone_number: Option<String>,
    pub role: Role,
    pub profile_picture: Option<String>,
    pub updated_at: Timestamp,
}

impl MeRequest {
    fn check(self) -> Result<Change> {
        let mut rules = Fields::new();
        let phone = self.phone_number.filter(|phone| !phone.trim().is_empty());
        let phone_number = phone.as_deref().and_then(text::us_phone_number);
        rules.check("phoneNumber", phone.is_none() || phone_number.is_some(), "must be a US phone number");
        let profile_picture = rules.optional_text("profilePicture", self.profile_picture, 2000);
        if let Some(url) = &profile_picture {
            rules.web_url("profilePicture", url);
        }
        let change = Change {
            first_name: rules.optional_text("firstName", self.first_name, SHORT_TEXT),
            last_name: rules.optional_text("lastName", self.last_name, SHORT_TEXT),
            phone_number,
            profile_picture,
        };
        rules.finish()?;
        Ok(change)
    }
}

/// Changes the calling user's name, phone number or picture.
///
/// # Errors
/// 400 a field breaks a rule. 401 no valid token, or its user is banned or closed.
#[utoipa::path(patch, path = "/auth/me", tag = "auth", security(("access_token" = [])), request_body = MeRequest,
    responses((status = 200, body = MeView), (status = 400, description = "A field breaks a rule")))]
async fn change_me(State(pooler): State<Pooler>, who: Caller, Json(request): Json<MeRequest>) -> Result<Json<MeView>> {
    let change = request.check()?;
    let mut tx = pooler.write().await?;
    let me = queries::change(&mut tx, who.user_id, &change).await?.ok_or(GONE)?;
    tx.commit().await?;
    Ok(Json(me))
}

/// Returns everything held about the calling user, apart from secrets.
///
/// # Errors
/// 401 no valid token, or its user is banned or closed.
#[utoipa::path(get, path = "/auth/me/export", tag = "auth", security(("access_token" = [])),
    responses((status = 200, body = Object, description = "An object with a member for each kind of data")))]
async fn export(State(pooler): State<Pooler>, who: Caller) -> Result<Json<serde_json::Value>> {
    queries::export(&pooler, who.user_id).await?.map(Json).ok_or(GONE)
}
