//! Whose account a person of Supabase Auth opens.

use serde::Deserialize;
use uuid::Uuid;

use super::queries::{self, Account};
use super::{Person, Project};
use crate::error::Error;
use crate::web::text;
use doors::{Door, Tx};

/// The reason why a valid token opens no account.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignInError {
    #[error("this account or login cannot be used any more: log in again")]
    Barred,
    #[error(
        "an account with this e-mail address exists already: log in with its password, or confirm the address both there \
         and at this sign-in first"
    )]
    EmailTaken,
    #[error("this sign-in has no e-mail address, which an account needs")]
    NoEmail,
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl From<SignInError> for Error {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Barred => Self::Unauthorized("this account or login cannot be used any more: log in again"),
            SignInError::EmailTaken => Self::Conflict("email_taken", error.to_string()),
            SignInError::NoEmail => {
                Self::Forbidden("email_required", "this sign-in has no e-mail address, which an account needs")
            }
            SignInError::Database(error) => error.into(),
        }
    }
}

impl Project {
    /// Whether the person has shown Supabase that the token's e-mail address is theirs. The token does not say: its
    /// `email_verified` stands in `user_metadata`, which users write themselves. So Supabase is asked; no answer is a no.
    pub(crate) async fn has_verified_email(&self, person: &Person, token: &str) -> bool {
        let Ok(_permit) = self.asking.acquire().await else { return false };
        match self.client.get("/user", Some(token)).await {
            Ok(body) => serde_json::from_slice(&body).is_ok_and(|user: User| user.has_verified(person)),
            Err(error) => {
                tracing::warn!("Supabase Auth (SUPABASE_URL) could not be asked for a user: {error:#}");
                false
            }
        }
    }
}

/// A user, as Supabase Auth shows it.
#[derive(Deserialize)]
struct User {
    id: Uuid,
    email: String,
    email_confirmed_at: Option<String>,
    #[serde(default)]
    identities: Vec<Identity>,
}

/// A way in which a user signs in. Where addresses are confirmed without an e-mail, `email_confirmed_at` is set all the
/// same, but `email_verified` is not.
#[derive(Deserialize)]
struct Identity {
    identity_data: IdentityData,
}

#[derive(Deserialize)]
struct IdentityData {
    email: Option<String>,
    #[serde(default)]
    email_verified: bool,
}

impl User {
    fn has_verified(&self, person: &Person) -> bool {
        let is_theirs = |email: &str| person.email.is_some() && text::email(email) == person.email;
        let by_identity = |identity: &Identity| {
            identity.identity_data.email_verified && identity.identity_data.email.as_deref().is_some_and(is_theirs)
        };
        self.id == person.auth_uid
            && is_theirs(&self.email)
            && self.email_confirmed_at.is_some()
            && self.identities.iter().any(by_identity)
    }
}

impl Person {
    /// The account, if this person may use it.
    pub(crate) fn admit(&self, account: Account) -> Result<Account, SignInError> {
        if account.is_banned || !self.may_act_as(account.role) {
            return Err(SignInError::Barred);
        }
        Ok(account)
    }

    /// The account of somebody whose first sign-in this is: the one with the same e-mail address, if both sides have
    /// verified it, or else a new customer. Requests at the same time find the same account.
    pub(crate) async fn enter<D: Door>(
        &self,
        mut tx: Tx<D>,
        has_verified_email: bool,
    ) -> sqlx::Result<Option<Account>> {
        let Some(email) = &self.email else { return Ok(None) };
        let is_linked = has_verified_email && queries::link(&mut tx, self.auth_uid, email, self.role).await?;
        if !is_linked {
            queries::insert(&mut tx, self, email, has_verified_email).await?;
        }
        // A separate statement: it sees what the insertion has waited for.
        let account = queries::find(&mut tx, self.auth_uid).await?;
        tx.commit().await?;
        Ok(account)
    }
}
