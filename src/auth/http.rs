//! `/auth`: registration, login, token refresh, logout, and the current user.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::queries::{self, NewCustomer, NewProvider, NewUser};
use super::{AccessTokens, Caller, Passwords, RefreshTokenLifetime, password, token};
use crate::error::{Error, Result, invalid, violates};
use crate::notifications::{NewNotification, NotificationType};
use crate::outbox::{Notifier, Outbox};
use crate::state::ApiState;
use crate::types::{Cents, Role, UserId};
use crate::web::MessageView;
use crate::web::extract::Json;
use crate::web::fields::{self, Fields, LONG_TEXT, SHORT_TEXT};
use doors::{Pooler, Tx};

/// The rule of the field `role`.
const ROLE_RULE: &str = "must be customer or service_provider";

/// How long a refresh token remains valid after its exchange: browser tabs refresh in parallel.
const REPLACED_GRACE: chrono::Duration = chrono::Duration::seconds(30);

/// The feature's routes.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(register))
        .routes(routes!(login))
        .routes(routes!(refresh))
        .routes(routes!(logout))
        .routes(routes!(me))
}

/// A new customer or provider.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RegisterRequest {
    #[schema(value_type = String)]
    email: Option<String>,
    /// A US phone number, in any notation.
    #[schema(value_type = String)]
    phone_number: Option<String>,
    /// At least 8 characters.
    #[schema(value_type = String)]
    password: Option<SecretString>,
    #[schema(value_type = String)]
    first_name: Option<String>,
    #[schema(value_type = String)]
    last_name: Option<String>,
    /// `customer` or `service_provider` (also `CUSTOMER`, `PROVIDER`).
    #[schema(value_type = String)]
    role: Option<String>,
    /// Customers: street address.
    address: Option<String>,
    /// The region, by which LSMs are assigned.
    #[schema(value_type = String)]
    region: Option<String>,
    zipcode: Option<String>,
    city: Option<String>,
    state: Option<String>,
    /// Providers: name of the business.
    business_name: Option<String>,
    service_type: Option<String>,
    /// Years.
    experience: Option<i32>,
    experience_level: Option<String>,
    description: Option<String>,
    location: Option<String>,
    website_url: Option<String>,
    /// Providers: the ZIP codes served, the primary one first.
    zip_codes: Option<Vec<String>>,
    min_price: Option<Cents>,
    max_price: Option<Cents>,
    area: Option<String>,
    /// Providers: must be true.
    accepted_terms: Option<bool>,
}

/// A user and the tokens of this login.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SessionView {
    user: UserView,
    access_token: String,
    refresh_token: String,
}

/// A user, as shown to the user.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserView {
    pub id: UserId,
    pub email: String,
    pub first_name: String,
    pub last_name: String,
    pub role: Role,
}

enum Profile {
    Customer(NewCustomer),
    Provider(NewProvider),
}

struct Registration {
    email: String,
    phone_number: String,
    password: SecretString,
    first_name: String,
    last_name: String,
    profile: Profile,
}

/// Registers a customer, or a provider who then waits for the region's LSM.
///
/// # Errors
/// 400 a field breaks a rule, or no active LSM serves the provider's region. 409 the e-mail address is taken.
#[utoipa::path(post, path = "/auth/register", tag = "auth", request_body = RegisterRequest,
    responses(
        (status = 201, body = SessionView),
        (status = 400, description = "A field breaks a rule, or no active LSM serves the region"),
        (status = 409, description = "The e-mail address is taken"),
    ))]
async fn register(
    State(pooler): State<Pooler>,
    State(passwords): State<Passwords>,
    State(access_tokens): State<Arc<AccessTokens>>,
    State(lifetime): State<RefreshTokenLifetime>,
    State(notifier): State<Notifier>,
    Json(request): Json<RegisterRequest>,
) -> Result<(StatusCode, Json<SessionView>)> {
    let registration = request.check()?;
    let now = Utc::now();
    let user = NewUser {
        email: registration.email,
        phone_number: registration.phone_number,
        password_hash: passwords.hash(registration.password).await?,
        first_name: registration.first_name,
        last_name: registration.last_name,
        role: registration.profile.role(),
    };

    let mut tx = pooler.write().await?;
    let id = match queries::insert_user(&mut tx, &user).await {
        Err(error) if violates(&error, "users_email_key") => {
            return Err(Error::Conflict("email_taken", "an account with this e-mail address exists already".into()));
        }
        inserted => inserted?,
    };
    let mut outbox = Outbox::default();
    match registration.profile {
        Profile::Customer(customer) => queries::insert_customer(&mut tx, id, &customer).await?,
        Profile::Provider(provider) => {
            let waiting = insert_provider(&mut tx, id, &provider, now).await?;
            outbox.notify(&mut tx, [waiting]).await?;
        }
    }
    let (login, refresh_token) = open_login(&mut tx, id, now + lifetime.0).await?;
    tx.commit().await?;
    notifier.publish(outbox);

    let access_token = access_tokens.issue(id, user.email.clone(), user.role, Some(login), now)?;
    let user =
        UserView { id, email: user.email, first_name: user.first_name, last_name: user.last_name, role: user.role };
    Ok((StatusCode::CREATED, Json(SessionView { user, access_token, refresh_token })))
}

/// Inserts a provider under its region's LSM. Returns the notification for the LSM.
async fn insert_provider(
    tx: &mut Tx<Pooler>,
    user_id: UserId,
    provider: &NewProvider,
    now: DateTime<Utc>,
) -> Result<NewNotification> {
    let lsm = queries::find_lsm(tx, &provider.region, provider.area.as_deref()).await?;
    let lsm = lsm.ok_or_else(|| {
        Error::Refused("no_lsm_in_region", format!("no active LSM serves the region {}", provider.region))
    })?;
    queries::insert_provider(tx, user_id, lsm.id, provider, now).await?;
    Ok(NewNotification {
        recipient_id: lsm.user_id,
        kind: NotificationType::System,
        title: "New provider".into(),
        message: format!("{} has registered and is waiting for your approval", provider.business_name),
        metadata: serde_json::json!({"providerUserId": user_id}),
    })
}

/// Opens a login on one device: a new family of refresh tokens.
async fn open_login(tx: &mut Tx<Pooler>, user_id: UserId, expires_at: DateTime<Utc>) -> sqlx::Result<(Uuid, String)> {
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

    let found = match fields::email(&email) {
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
    // A token that predates logins has nothing to revoke; it ends when it expires.
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

impl Profile {
    const fn role(&self) -> Role {
        match self {
            Self::Customer(_) => Role::Customer,
            Self::Provider(_) => Role::ServiceProvider,
        }
    }
}

impl RegisterRequest {
    fn check(mut self) -> Result<Registration> {
        let mut rules = Fields::new();
        let email = self.email.as_deref().and_then(fields::email).unwrap_or_default();
        rules.check("email", !email.is_empty(), "must be an e-mail address");
        let phone_number = self.phone_number.as_deref().and_then(fields::us_phone_number).unwrap_or_default();
        rules.check("phoneNumber", !phone_number.is_empty(), "must be a US phone number");
        let password = self.password.take().unwrap_or_default();
        rules.check(
            "password",
            password::acceptable_length(&password),
            "must be at least 8 characters, and at most 256 bytes",
        );
        let first_name = rules.text("firstName", self.first_name.take(), SHORT_TEXT);
        let last_name = rules.text("lastName", self.last_name.take(), SHORT_TEXT);
        let region = rules.text("region", self.region.take(), SHORT_TEXT);
        let profile = match self.role.as_deref() {
            Some("customer" | "CUSTOMER") => Some(Profile::Customer(self.customer(&mut rules, region))),
            Some("service_provider" | "PROVIDER") => Some(Profile::Provider(self.provider(&mut rules, region))),
            _ => None,
        };
        rules.check("role", profile.is_some(), ROLE_RULE);
        rules.finish()?;
        let profile = profile.ok_or_else(|| invalid("role", ROLE_RULE))?;
        Ok(Registration { email, phone_number, password, first_name, last_name, profile })
    }

    fn customer(self, rules: &mut Fields, region: String) -> NewCustomer {
        NewCustomer {
            address: rules.text("address", self.address, SHORT_TEXT),
            region,
            zipcode: self.zipcode.filter(|zip| !zip.trim().is_empty()).map(|zip| rules.zip_code("zipcode", Some(&zip))),
            city: rules.optional_text("city", self.city, SHORT_TEXT),
            state: rules.optional_text("state", self.state, SHORT_TEXT),
        }
    }

    fn provider(self, rules: &mut Fields, region: String) -> NewProvider {
        let website_url = rules.optional_text("websiteUrl", self.website_url, 2000);
        if let Some(website_url) = &website_url {
            rules.web_url("websiteUrl", website_url);
        }
        rules.check("acceptedTerms", self.accepted_terms == Some(true), "must be true");
        let is_experience = self.experience.is_none_or(|years| (0..=100).contains(&years));
        rules.check("experience", is_experience, "must be 0 to 100 years");
        let is_range = self.min_price.zip(self.max_price).is_none_or(|(min, max)| min <= max);
        rules.check("minPrice", is_range, "must not be above maxPrice");
        NewProvider {
            business_name: rules.text("businessName", self.business_name, SHORT_TEXT),
            service_type: rules.optional_text("serviceType", self.service_type, SHORT_TEXT),
            experience_years: self.experience,
            experience_level: rules.optional_text("experienceLevel", self.experience_level, SHORT_TEXT),
            description: rules.optional_text("description", self.description, LONG_TEXT),
            location: rules.optional_text("location", self.location, SHORT_TEXT),
            website_url,
            zip_codes: rules.zip_codes("zipCodes", &self.zip_codes.unwrap_or_default()),
            min_price_cents: self.min_price.map(|price| price.0),
            max_price_cents: self.max_price.map(|price| price.0),
            region,
            area: rules.optional_text("area", self.area, SHORT_TEXT),
        }
    }
}
