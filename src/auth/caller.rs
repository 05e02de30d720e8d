//! The caller, as extractors: a handler without one has no `who`.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::{HeaderMap, header, request::Parts};
use uuid::Uuid;

use super::supabase::{Project, SignInError, queries};
use super::{AccessTokens, LiveLogins, Supabase};
use crate::error::Error;
use crate::types::{Role, UserId};
use doors::Pooler;

/// A user with a valid access token of a live login, in any role.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The user.
    pub user_id: UserId,
    /// The user's role.
    pub role: Role,
    /// The login that the token was issued to. `None` in tokens of Supabase Auth, and in those that predate logins.
    pub login: Option<Uuid>,
}

const INVALID: Error = Error::Unauthorized("the access token is invalid or has expired");

impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    Arc<AccessTokens>: FromRef<S>,
    LiveLogins: FromRef<S>,
    Pooler: FromRef<S>,
    Supabase: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let token = bearer(&parts.headers)
            .ok_or(Error::Unauthorized("an access token is required: Authorization: Bearer <token>"))?;
        if let Some(project) = Supabase::from_ref(state).issuer_of(token) {
            return Self::of_supabase(project, token, &Pooler::from_ref(state)).await;
        }
        let claims = Arc::<AccessTokens>::from_ref(state).verify(token).ok_or(INVALID)?;
        let is_live = LiveLogins::from_ref(state).contains(&Pooler::from_ref(state), claims.sub, claims.sid).await?;
        if !is_live {
            return Err(Error::Unauthorized("this account or login cannot be used any more: log in again"));
        }
        Ok(Self { user_id: claims.sub, role: claims.role, login: claims.sid })
    }
}

impl Caller {
    /// The caller with a token of Supabase Auth. The first time, the account is linked or made.
    async fn of_supabase(project: &Project, token: &str, pooler: &Pooler) -> Result<Self, Error> {
        let person = project.verify(token).await.ok_or(INVALID)?;
        let account = match queries::find(pooler, person.auth_uid).await? {
            Some(account) => Some(account),
            None if person.email.is_none() => return Err(SignInError::NoEmail.into()),
            None => {
                let has_verified_email = project.has_verified_email(&person, token).await;
                person.enter(pooler.write().await?, has_verified_email).await?
            }
        };
        let account = person.admit(account.ok_or(SignInError::EmailTaken)?)?;
        Ok(Self { user_id: account.id, role: account.role, login: None })
    }
}

/// Declares the extractor of a role. Every other role receives 403, admins included.
macro_rules! in_role {
    ($(#[$meta:meta])* $name:ident($role:ident, $refusal:literal)) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name {
            /// The user.
            pub user_id: UserId,
        }

        impl<S> FromRequestParts<S> for $name
        where
            S: Send + Sync,
            Arc<AccessTokens>: FromRef<S>,
            LiveLogins: FromRef<S>,
            Pooler: FromRef<S>,
            Supabase: FromRef<S>,
        {
            type Rejection = Error;

            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
                let caller = Caller::from_request_parts(parts, state).await?;
                if caller.role == Role::$role {
                    Ok(Self { user_id: caller.user_id })
                } else {
                    Err(Error::Forbidden("wrong_role", $refusal))
                }
            }
        }
    };
}

in_role! {
    /// A customer.
    Customer(Customer, "this is for customers only")
}

in_role! {
    /// A service provider.
    Provider(ServiceProvider, "this is for service providers only")
}

in_role! {
    /// A local service manager.
    Lsm(LocalServiceManager, "this is for local service managers only")
}

in_role! {
    /// An admin.
    Admin(Admin, "this is for admins only")
}

/// The token of an `Authorization: Bearer` header (RFC 6750, section 2.1). The scheme is case-insensitive.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    without_scheme(headers.get(header::AUTHORIZATION)?.to_str().ok()?)
}

/// The token after `Bearer`, in any case; `None` without this scheme.
#[must_use]
pub fn without_scheme(credentials: &str) -> Option<&str> {
    let (scheme, token) = credentials.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
