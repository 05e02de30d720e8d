//! The check of an access token.

use std::collections::HashSet;

use chrono::Utc;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, dangerous, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::{MAX_BYTES, Project};
use crate::types::Role;
use crate::web::fields::SHORT_TEXT;
use crate::web::text;

/// The audience, and the role, of a signed-in user. The project's own keys are `anon` and `service_role`.
const AUTHENTICATED: &str = "authenticated";

/// How far Supabase's clock may be ahead, in seconds.
const LEEWAY_S: u64 = 5;

/// Who a valid token was issued to.
#[derive(Debug)]
pub(crate) struct Person {
    pub auth_uid: Uuid,
    /// In the form in which addresses are stored. Not verified by being here.
    pub email: Option<String>,
    pub first_name: String,
    pub last_name: String,
    /// The role in `app_metadata`, which only the project's owner writes.
    pub role: Option<Role>,
    /// Expires at, in seconds since 1970.
    pub exp: i64,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: Uuid,
    exp: i64,
    role: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    is_anonymous: bool,
    #[serde(default)]
    app_metadata: Value,
    #[serde(default)]
    user_metadata: Value,
}

/// Whether a token says that it is from this issuer.
pub(super) fn names_issuer(token: &str, issuer: &str) -> bool {
    #[derive(Deserialize)]
    struct Issuer {
        iss: String,
    }
    token.len() <= MAX_BYTES
        && dangerous::insecure_decode_claims::<Issuer>(token).is_ok_and(|claims| claims.iss == issuer)
}

impl Project {
    /// The person of a valid token, `None` for any other.
    pub(crate) async fn verify(&self, token: &str) -> Option<Person> {
        if token.len() > MAX_BYTES {
            return None;
        }
        let header = decode_header(token).ok()?;
        let claims = match (header.alg, &header.kid) {
            (Algorithm::HS256, kid) => {
                let names_key = kid.as_deref().is_some_and(|kid| self.keys.get(kid).is_some());
                let secret = self.legacy_secret.as_ref().filter(|_| !names_key)?;
                self.check(token, secret, Algorithm::HS256)?
            }
            (Algorithm::ES256 | Algorithm::RS256, Some(kid)) => {
                let key = self.keys.find(kid).await?;
                self.check(token, &key.decoding, key.algorithm)?
            }
            _ => return None,
        };
        let is_user = claims.role == AUTHENTICATED && !claims.is_anonymous;
        is_user.then(|| Person::of(&claims))
    }

    fn check(&self, token: &str, key: &DecodingKey, algorithm: Algorithm) -> Option<Claims> {
        let mut validation = Validation::new(algorithm);
        validation.required_spec_claims = HashSet::from(["aud", "exp", "iss", "sub"].map(str::to_owned));
        validation.set_audience(&[AUTHENTICATED]);
        validation.set_issuer(&[&self.issuer]);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        // Checked below: the library would accept an expired token within the leeway.
        validation.validate_exp = false;
        let claims = decode::<Claims>(token, key, &validation).ok()?.claims;
        (claims.iss == self.issuer && claims.exp > Utc::now().timestamp()).then_some(claims)
    }
}

impl Person {
    fn of(claims: &Claims) -> Self {
        let (first_name, last_name) = names(&claims.user_metadata);
        Self {
            auth_uid: claims.sub,
            email: claims.email.as_deref().and_then(text::email),
            first_name,
            last_name,
            role: claims.app_metadata.get("role").and_then(|role| Role::deserialize(role).ok()),
            exp: claims.exp,
        }
    }

    /// Whether this person may act as an account of this role. LSMs and admins need their role in `app_metadata` too.
    pub(super) fn may_act_as(&self, role: Role) -> bool {
        match role {
            Role::Customer | Role::ServiceProvider => true,
            Role::LocalServiceManager | Role::Admin => self.role == Some(role),
        }
    }
}

/// The first and the last name that a new account begins with, from what sign-up forms and providers put there.
fn names(metadata: &Value) -> (String, String) {
    let name = |keys: &[&str]| keys.iter().find_map(|key| short(metadata.get(key)?.as_str()?));
    match (name(&["first_name", "given_name"]), name(&["last_name", "family_name"])) {
        (Some(first), last) => (first, last.unwrap_or_default()),
        (None, last) => {
            let whole = name(&["full_name", "name"]).unwrap_or_else(|| "Customer".into());
            let (first, rest) = whole.split_once(' ').unwrap_or((&whole, ""));
            (first.to_owned(), last.unwrap_or_else(|| rest.trim().to_owned()))
        }
    }
}

fn short(name: &str) -> Option<String> {
    let name: String = name.chars().filter(|c| !c.is_control()).take(SHORT_TEXT).collect();
    text::clean(&name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_come_from_what_there_is() {
        for (metadata, first, last) in [
            (json!({"first_name": "Ann", "last_name": "Archer"}), "Ann", "Archer"),
            (json!({"given_name": " Ann ", "name": "Somebody Else"}), "Ann", ""),
            (json!({"full_name": "Ann van Archer"}), "Ann", "van Archer"),
            (json!({"name": "Ann", "role": "admin"}), "Ann", ""),
            (json!({"first_name": 7, "name": ["x"]}), "Customer", ""),
            (json!({"first_name": "\u{200b}"}), "Customer", ""),
            (json!(null), "Customer", ""),
        ] {
            assert_eq!(names(&metadata), (first.to_owned(), last.to_owned()), "{metadata}");
        }
        assert_eq!(names(&json!({"name": "a".repeat(5000)})).0.len(), SHORT_TEXT);
    }

    #[test]
    fn the_power_of_a_role_needs_app_metadata() {
        let person = |app_metadata: Value| {
            Person::of(&Claims {
                iss: String::new(),
                sub: Uuid::nil(),
                exp: 0,
                role: AUTHENTICATED.into(),
                email: None,
                is_anonymous: false,
                app_metadata,
                user_metadata: json!({"role": "admin"}),
            })
        };
        for (app_metadata, is_admin) in [
            (json!({}), false),
            (json!({"role": "ADMIN"}), false),
            (json!({"role": ["admin"]}), false),
            (json!({"role": "local_service_manager"}), false),
            (json!({"role": "admin"}), true),
        ] {
            let person = person(app_metadata);
            assert_eq!(person.may_act_as(Role::Admin), is_admin, "{person:?}");
            assert!(person.may_act_as(Role::Customer));
        }
    }
}
