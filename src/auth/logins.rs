//! What opens a login, and what guards it.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use tokio::time::Instant;
use uuid::Uuid;

use super::http::{SessionView, UserView};
use super::queries::{self, Login};
use super::{AccessTokens, Attempts, FLOOR, Origin, Passwords, RefreshTokenLifetime, password, token};
use crate::error::{Error, Result};
use crate::limits::{ClientAddress, Policy};
use crate::state::ApiState;
use crate::web::text;
use doors::{Pooler, Tx};

/// What failed logins are counted against, from places where the account was used before.
const FROM_KNOWN_PLACE: [Policy; 2] = [Policy::LoginAddress, Policy::LoginAccountAtAddress];

/// The same from any other place.
const FROM_NEW_PLACE: [Policy; 3] = [Policy::LoginAddress, Policy::LoginAccountAtAddress, Policy::LoginAccount];

const fn policies(is_known_place: bool) -> &'static [Policy] {
    if is_known_place { &FROM_KNOWN_PLACE } else { &FROM_NEW_PLACE }
}

/// Opens logins, from where a request comes.
#[derive(FromRequestParts)]
#[from_request(state(ApiState))]
pub(crate) struct Logins {
    #[from_request(via(State))]
    pooler: Pooler,
    #[from_request(via(State))]
    passwords: Passwords,
    #[from_request(via(State))]
    access_tokens: Arc<AccessTokens>,
    #[from_request(via(State))]
    lifetime: RefreshTokenLifetime,
    #[from_request(via(State))]
    attempts: Attempts,
    address: ClientAddress,
}

impl Logins {
    /// The account with this e-mail address and password. A failure is answered no earlier than [`FLOOR`], whatever the
    /// password is stored as.
    pub(super) async fn authenticate(&self, email: String, password: SecretString) -> Result<Login> {
        let earliest = Instant::now() + FLOOR;
        let found = match text::email(&email) {
            Some(email) => queries::find_login(&self.pooler, &email, self.place(&email).as_deref()).await?,
            None => None,
        };
        let is_known_place = found.as_ref().is_some_and(|login| login.is_known_place);
        // What is no e-mail address is counted as it is.
        let email = text::email(&email).unwrap_or(email);
        self.count(&email, policies(is_known_place)).await?;
        let hash = found.as_ref().and_then(|login| login.password_hash.clone());
        let matches = password::acceptable_length(&password) && self.passwords.verify(password, hash).await?;
        let Some(login) = found.filter(|_| matches) else {
            tokio::time::sleep_until(earliest).await;
            return Err(Error::Unauthorized("e-mail address or password is wrong"));
        };
        Ok(login)
    }

    /// Checks the password of an account whose owner is known by a token.
    pub(crate) async fn check(&self, email: &str, password: SecretString, hash: Option<String>) -> Result<bool> {
        self.count(email, &FROM_NEW_PLACE).await?;
        Ok(password::acceptable_length(&password) && self.passwords.verify(password, hash).await?)
    }

    /// Opens a login on one device: a new family of refresh tokens.
    pub(crate) async fn open(&self, tx: &mut Tx<Pooler>, user: UserView, now: DateTime<Utc>) -> Result<SessionView> {
        let family_id = Uuid::now_v7();
        let (refresh_token, digest) = token::new_refresh_token();
        let (place, expires_at) = (self.place(&user.email), now + self.lifetime.0);
        queries::insert_login(tx, &digest, family_id, user.id, expires_at, place.as_deref()).await?;
        let access_token = self.access_tokens.issue(user.id, user.email.clone(), user.role, Some(family_id), now)?;
        Ok(SessionView { user, access_token, refresh_token })
    }

    /// A login was right: its attempt is no failure.
    pub(super) async fn give_back(&self, tx: &mut Tx<Pooler>, email: &str, is_known_place: bool) -> sqlx::Result<()> {
        self.attempts.give_back(tx, self.origin(email), policies(is_known_place)).await
    }

    async fn count(&self, email: &str, policies: &[Policy]) -> Result<()> {
        self.attempts.count(&self.pooler, self.origin(email), policies, Utc::now()).await
    }

    fn place(&self, email: &str) -> Option<Vec<u8>> {
        self.attempts.place(self.origin(email))
    }

    const fn origin<'a>(&self, email: &'a str) -> Origin<'a> {
        Origin { email, address: self.address }
    }
}
